"""Tool rules as pure functions of the calls that were made."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.stores import tool_rules
from agent_service.turns import loops
from agent_service.turns.rules import Done, Rules
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import InvalidArgument
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1.type_pb2 import ToolCall

NAMES = ["a", "b", "c"]
Kind = pb.ToolRuleType


def rule(kind: str, tool: str = "a", **more: object) -> pb.ToolRule:
    return pb.ToolRule(type=Kind.Value(f"TOOL_RULE_TYPE_{kind}"), tool_name=tool, **more)  # type: ignore[arg-type]


def allowed(rules: list[pb.ToolRule], *done: str) -> list[str]:
    return Rules(rules, NAMES).allowed(
        NAMES, [Done(*each.split("=")) if "=" in each else Done(each, "") for each in done]
    )


def test_first_tools_come_first_and_then_all_are_free() -> None:
    assert allowed([rule("RUN_FIRST", "b")]) == ["b"]
    assert allowed([rule("RUN_FIRST", "b")], "b") == NAMES


def test_children_are_all_that_follows_their_parent() -> None:
    rules = [rule("CONSTRAIN_CHILD_TOOLS", children=["b"])]
    assert allowed(rules) == NAMES
    assert allowed(rules, "a") == ["b"]
    assert allowed(rules, "a", "b") == NAMES


def test_what_a_tool_returned_chooses_the_next() -> None:
    rules = [rule("CONDITIONAL", child_by_output={"yes": "b"}, default_child="c")]
    assert allowed(rules, "a=yes\n") == ["b"]
    assert allowed(rules, "a=perhaps") == ["c"]
    strict = [rule("CONDITIONAL", child_by_output={"yes": "b"}, require_output_mapping=True)]
    assert allowed(strict, "a=perhaps") == []
    assert allowed([rule("CONDITIONAL", child_by_output={"yes": "b"})], "a=perhaps") == NAMES


def test_a_child_of_a_parent_runs_only_right_behind_it() -> None:
    rules = [rule("PARENT_LAST_TOOL", children=["b"])]
    assert allowed(rules) == ["a", "c"]
    assert allowed(rules, "a") == NAMES
    assert allowed(rules, "a", "c") == ["a", "c"]


def test_a_tool_is_gone_when_its_calls_are_spent() -> None:
    rules = Rules([rule("MAX_COUNT_PER_STEP", max_count=2)], NAMES)
    assert rules.allowed(NAMES, [Done("a", "")]) == NAMES
    assert rules.allowed(NAMES, [Done("a", "")] * 2) == ["b", "c"]
    assert not rules.spent("a", 1)
    assert rules.spent("a", 2)
    assert not rules.spent("b", 9)


def test_what_is_owed_before_the_end() -> None:
    rules = Rules([rule("REQUIRED_BEFORE_EXIT", "a"), rule("REQUIRED_BEFORE_EXIT", "b")], NAMES)
    assert rules.owed([]) == ["a", "b"]
    assert rules.owed([Done("a", "")]) == ["b"]
    rules = Rules([rule("RUN_FIRST", "a"), rule("RUN_FIRST", "b"), rule("REQUIRED_BEFORE_EXIT", "c")], NAMES)
    assert rules.owed([]) == ["a or b", "c"]
    assert rules.owed([Done("b", "")]) == ["c"]


def test_a_rule_about_a_tool_that_the_agent_lacks_is_no_rule() -> None:
    rules = Rules([rule("RUN_FIRST", "zzz"), rule("REQUIRED_BEFORE_EXIT", "zzz")], NAMES)
    assert not rules
    assert rules.allowed(NAMES, []) == NAMES
    assert rules.owed([]) == []


_RULES = st.lists(
    st.builds(
        pb.ToolRule,
        type=st.sampled_from(sorted(Kind.values())),
        tool_name=st.sampled_from([*NAMES, "zzz"]),
        children=st.lists(st.sampled_from(NAMES), max_size=2),
        max_count=st.integers(1, 3),
        child_by_output=st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(NAMES), max_size=2),
    ),
    max_size=5,
)


@given(rules=_RULES, choices=st.lists(st.integers(0, 2), max_size=20))
def test_whatever_the_rules_a_model_that_keeps_to_them_stays_within_them(
    rules: list[pb.ToolRule], choices: list[int]
) -> None:
    checked, done = Rules(rules, NAMES), list[Done]()
    for choice in choices:
        offered = checked.allowed(NAMES, done)
        assert offered == [name for name in NAMES if name in offered], "a subset, in the agent's order"
        if not offered:
            break
        done.append(Done(offered[choice % len(offered)], "x"))
    names = [call.name for call in done]
    for each in rules:
        behind = [after for before, after in pairwise(names) if before == each.tool_name]
        if each.type == pb.TOOL_RULE_TYPE_MAX_COUNT_PER_STEP:
            assert names.count(each.tool_name) <= each.max_count
        if each.type == pb.TOOL_RULE_TYPE_CONSTRAIN_CHILD_TOOLS:
            assert set(behind) <= set(each.children)
        if each.type == pb.TOOL_RULE_TYPE_RUN_FIRST and each.tool_name in NAMES and names:
            assert names[0] in {r.tool_name for r in rules if r.type == pb.TOOL_RULE_TYPE_RUN_FIRST}


@pytest.mark.parametrize(
    "wrong",
    [
        pb.ToolRule(tool_name="a"),
        rule("RUN_FIRST", ""),
        rule("MAX_COUNT_PER_STEP"),
        rule("CONSTRAIN_CHILD_TOOLS"),
        rule("CONDITIONAL"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(wrong: pb.ToolRule) -> None:
    with pytest.raises(InvalidArgument, match="tool_rules"):
        tool_rules.check([wrong])


def test_only_the_same_call_in_a_row_is_a_loop() -> None:
    def step(arguments: str) -> TurnEvent:
        return TurnEvent(message=Message(tool_calls=[ToolCall(id="x", name="f", arguments=arguments)]))

    call = ToolCall(name="f", arguments="1")
    assert loops.repeats([step("1"), step("2"), step("1"), step("1")], call) == 2
    assert loops.is_endless([step("1")] * loops.ENDS_AT)
    assert not loops.is_endless([step("1")] * (loops.ENDS_AT - 1) + [step("2")])
