"""What the model is sent is always valid, and stays the same where nothing changed."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import groupby

import pytest

from agent_service.context import build, prompt
from agent_service.context.render import render
from agent_service.context.window import Window, cost
from triptych.agent.v1.agent_pb2 import Agent, Block
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall, ToolReturn

NOW = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)


def conversation(seed: int) -> list[Message]:
    """Random turns, each with any number of tool calls, some of whose results are missing."""
    rng, messages = random.Random(seed), list[Message]()

    def add(role: type_pb2.Role.ValueType, turn: int, **more: object) -> None:
        text = "x" * rng.randint(1, 400)
        messages.append(
            Message(sequence=len(messages) + 1, role=role, turn_id=f"turn-{turn}", text=text, **more)  # type: ignore[arg-type]
        )

    for turn in range(rng.randint(1, 12)):
        add(type_pb2.ROLE_USER, turn)
        for step in range(rng.randint(0, 3)):
            calls = [ToolCall(id=f"{turn}-{step}-{i}", name="f", arguments="{}") for i in range(rng.randint(1, 3))]
            add(type_pb2.ROLE_ASSISTANT, turn, tool_calls=calls)
            for call in calls:
                if rng.random() < 0.9:
                    add(type_pb2.ROLE_TOOL, turn, tool_return=ToolReturn(tool_call_id=call.id))
        add(type_pb2.ROLE_ASSISTANT, turn)
    return messages


def assert_valid(messages: list[dict[str, object]]) -> None:
    """As the OpenAI API demands: each call answered once, right behind it, and no answer without its call."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            waiting.remove(str(message["tool_call_id"]))
            continue
        assert not waiting
        waiting = [call["id"] for call in message.get("tool_calls", ())]  # type: ignore[attr-defined]
    assert not waiting


@pytest.mark.parametrize("seed", range(50))
def test_any_part_of_any_history_is_rendered_validly(seed: int) -> None:
    messages = conversation(seed)
    cut = random.Random(seed).randint(0, len(messages))
    assert_valid(render(messages[cut:]))
    assert_valid(render(messages[:cut]))


@pytest.mark.parametrize("seed", range(50))
def test_a_window_is_cut_by_whole_turns_to_below_its_budget(seed: int) -> None:
    messages = conversation(seed)
    budget = random.Random(seed).randint(200, 3000)
    window = Window(0, list(messages))
    dropped = window.fit(budget, [], keep=messages[-1].turn_id)
    kept_turns = {message.turn_id for message in window.messages}
    assert [m for m in messages if m.turn_id in kept_turns] == window.messages
    assert messages[-1].turn_id in kept_turns
    if dropped:
        assert window.start == window.messages[0].sequence
        assert cost(window.messages) <= budget or kept_turns == {messages[-1].turn_id}
    else:
        assert window.messages == messages


@pytest.mark.parametrize("seed", range(30))
def test_a_window_that_grows_is_rendered_as_it_would_be_at_once(seed: int) -> None:
    messages = conversation(seed)
    window = Window(0)
    for _, group in groupby(messages, key=lambda message: message.turn_id):
        turn = list(group)
        half = len(turn) // 2
        for part in (turn[:half], turn[half:]):
            window.extend(part)
            before = [message for message in window.messages if message.turn_id != turn[0].turn_id]
            assert window.before(turn[0].turn_id) == render(before)
            assert window.before("nobody's") == render(window.messages)
            assert window.before(turn[0].turn_id) == render(before)
            assert window.of_turn(turn[0].turn_id) == turn[: len(window.messages) - len(before)]
    window.fit(cost(messages) // 2, [], keep=messages[-1].turn_id)
    assert window.before("") == render(window.messages)
    assert window.tokens == sum(cost(list(group)) for _, group in groupby(window.messages, key=lambda m: m.turn_id))


def test_the_prompt_changes_only_with_a_block() -> None:
    agent = Agent(blocks=[Block(label="human", value="Name: Ann.", limit=100)])
    first = prompt.compiled(agent)
    assert prompt.compiled(agent) == first
    agent.blocks[0].value = "Name: Bea."
    assert prompt.compiled(agent) != first
    assert "Name: Bea." in prompt.compiled(agent)


def test_the_facts_of_the_moment_stand_behind_the_history() -> None:
    window = Window(0, [Message(sequence=9, role=type_pb2.ROLE_USER, text="before", turn_id="t1")])
    turn = [Message(role=type_pb2.ROLE_USER, text="now", turn_id="t2")]
    built = build.build(Agent(timezone="Europe/Oslo"), window.before("t2"), turn, NOW, hidden=window.hidden)
    assert [m["role"] for m in built.messages] == ["system", "user", "system", "user"]
    assert "2026-03-14 16:09 (Europe/Oslo)" in built.facts
    assert "8 older messages" in built.facts
    assert built.messages[2]["content"] == built.facts
