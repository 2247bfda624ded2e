"""Tool rules: which tools the model may call in a step, and when a turn may, or must, end. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1.agent_pb2 import ToolRule


@dataclass(frozen=True)
class Done:
    """A call that succeeded, and what it returned. Failed calls count for no rule: the model may try again."""

    name: str
    text: str


class Rules:
    """`names`: the agent's tools; a rule about another tool is as if it were not there."""

    def __init__(self, rules: Sequence[ToolRule], names: Collection[str]) -> None:
        self._rules = [rule for rule in rules if rule.tool_name in names]
        self._of_type = {
            kind: {r.tool_name for r in self._rules if r.type == kind} for kind in pb.ToolRuleType.values()
        }

    def __bool__(self) -> bool:
        return bool(self._rules)

    def allowed(self, names: Sequence[str], done: Sequence[Done]) -> list[str]:
        """The tools that the next step may call, in the order given. `done`: the turn's calls before it."""
        first = self._of_type[pb.TOOL_RULE_TYPE_RUN_FIRST]
        if first and not done:
            return [name for name in names if name in first]
        left = list(names)
        for rule in self._rules:
            narrow = _NARROWING.get(rule.type)
            if narrow is not None:
                left = narrow(rule, left, done)
        return left

    def spent(self, name: str, times: int) -> bool:
        """Whether `times` calls of a tool, this turn, are all that it may have."""
        kind = pb.TOOL_RULE_TYPE_MAX_COUNT_PER_STEP
        limits = [rule.max_count for rule in self._rules if rule.type == kind and rule.tool_name == name]
        return bool(limits) and times >= min(limits)

    def exits(self, name: str) -> bool:
        """Whether a call of the tool ends the turn, once it has succeeded."""
        return name in self._of_type[pb.TOOL_RULE_TYPE_EXIT_LOOP]

    def continues(self, name: str) -> bool:
        """Whether a call of the tool never ends the turn, even if it does so by itself."""
        return name in self._of_type[pb.TOOL_RULE_TYPE_CONTINUE_LOOP]

    def needs_approval(self, name: str) -> bool:
        return name in self._of_type[pb.TOOL_RULE_TYPE_REQUIRES_APPROVAL]

    def owed(self, done: Sequence[Done]) -> list[str]:
        """The tools that have to be called before the turn may end; of those that may come first, one (`a or b`)."""
        required = self._of_type[pb.TOOL_RULE_TYPE_REQUIRED_BEFORE_EXIT] - {call.name for call in done}
        first = self._of_type[pb.TOOL_RULE_TYPE_RUN_FIRST]
        if done or not first:
            return sorted(required)
        return [" or ".join(sorted(first)), *sorted(required - first)]


def _constrain(rule: ToolRule, names: list[str], done: Sequence[Done]) -> list[str]:
    if not done or done[-1].name != rule.tool_name:
        return names
    return [name for name in names if name in rule.children]


def _conditional(rule: ToolRule, names: list[str], done: Sequence[Done]) -> list[str]:
    if not done or done[-1].name != rule.tool_name:
        return names
    child = rule.child_by_output.get(done[-1].text.strip(), rule.default_child)
    if child:
        return [name for name in names if name == child]
    return [] if rule.require_output_mapping else names


def _max_count(rule: ToolRule, names: list[str], done: Sequence[Done]) -> list[str]:
    spent = Counter(call.name for call in done)[rule.tool_name] >= rule.max_count
    return [name for name in names if name != rule.tool_name] if spent else names


def _parent_last(rule: ToolRule, names: list[str], done: Sequence[Done]) -> list[str]:
    if done and done[-1].name == rule.tool_name:
        return names
    return [name for name in names if name not in rule.children]


_NARROWING: dict[int, Callable[[ToolRule, list[str], Sequence[Done]], list[str]]] = {
    pb.TOOL_RULE_TYPE_CONSTRAIN_CHILD_TOOLS: _constrain,
    pb.TOOL_RULE_TYPE_CONDITIONAL: _conditional,
    pb.TOOL_RULE_TYPE_MAX_COUNT_PER_STEP: _max_count,
    pb.TOOL_RULE_TYPE_PARENT_LAST_TOOL: _parent_last,
}
