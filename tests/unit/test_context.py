"""What the model is sent is always valid, and stays the same where nothing changed."""

from __future__ import annotations

import random
from itertools import groupby

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from agent_service.context import tokens
from agent_service.context.prompt import Compiler, compiled
from agent_service.context.render import Renderer, render
from agent_service.context.window import Window, cost
from agent_service.stores.views import View
from triptych.agent.v1.agent_pb2 import Agent, Block
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall, ToolReturn


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
def test_what_leaves_a_window_is_whole_turns_and_no_more_than_it_takes(seed: int) -> None:
    messages = conversation(seed)
    window, running = Window(View(), list(messages)), messages[-1].turn_id
    target = random.Random(seed).randint(0, 3000)
    leaving = window.leaving(target, running)
    kept = window.without(len(leaving), View(len(leaving) + 1)).messages
    assert leaving + kept == messages
    assert {m.turn_id for m in leaving}.isdisjoint({m.turn_id for m in kept})
    before = [message for message in kept if message.turn_id != running]
    assert cost(before) <= target
    newest_leaving = [message for message in leaving if message.turn_id == leaving[-1].turn_id]
    assert not leaving or cost(before) + cost(newest_leaving) > target


@pytest.mark.parametrize("seed", range(30))
def test_a_window_that_grows_is_rendered_as_it_would_be_at_once(seed: int) -> None:
    messages = conversation(seed)
    window = Window()
    for _, group in groupby(messages, key=lambda message: message.turn_id):
        turn = list(group)
        half = len(turn) // 2
        for part in (turn[:half], turn[half:]):
            window.extend(part)
            before = Renderer().turns([m for m in window.messages if m.turn_id != turn[0].turn_id])
            assert window.before(turn[0].turn_id).messages.decoded() == before
            assert window.before(None).messages.decoded() == Renderer().turns(window.messages)
            assert window.before(turn[0].turn_id).messages.decoded() == before
            assert window.before(turn[0].turn_id).tokens == tokens.of_messages(before)
            assert window.of_turn(turn[0].turn_id) == [m for m in window.messages if m.turn_id == turn[0].turn_id]


def test_the_prompt_changes_only_with_a_block() -> None:
    agent = Agent(blocks=[Block(label="human", value="Name: Ann.", limit=100)])
    compiler = Compiler()
    first = compiler.compile(agent)
    assert compiler.compile(agent) is first
    agent.blocks[0].value = "Name: Bea."
    second = compiler.compile(agent)
    assert "Name: Bea." in second.text
    assert [a == b for a, b in zip(first.segments, second.segments, strict=True)] == [True, True, False, True]


def test_blocks_too_long_for_the_window_are_shown_in_part_the_longest_first() -> None:
    agent = Agent(blocks=[Block(label="human", value="Name: Ann."), Block(label="log", value="x" * 50_000)])
    shown = compiled(agent, 500)
    assert shown.memory_tokens <= 500
    assert "Name: Ann." in shown.text
    assert "characters more are not shown" in shown.text
    assert compiled(agent, 50_000).text == compiled(agent).text


def said(role: type_pb2.Role.ValueType, text: str, minute: int, turn: str) -> Message:
    return Message(role=role, text=text, turn_id=turn, create_time=Timestamp(seconds=1_773_500_940 + 60 * minute))


def test_a_description_too_long_for_the_window_is_shown_in_part() -> None:
    agent = Agent(blocks=[Block(label="human", value="Name: Ann.", limit=100, description="word " * 10_000)])
    shown = compiled(agent, 500)
    assert shown.memory_tokens <= 500
    assert "Name: Ann." in shown.text
    assert "this description is too long" in shown.text


def test_a_turn_is_told_its_time_where_the_last_time_told_has_gone_stale() -> None:
    user, assistant = type_pb2.ROLE_USER, type_pb2.ROLE_ASSISTANT
    messages = [
        said(user, "a", 0, "1"),
        said(assistant, "b", 9, "1"),
        said(user, "c", 2, "2"),
        said(user, "d", 6, "3"),
    ]
    rendered = Renderer("Europe/Oslo").turns(messages)
    assert [m["content"] for m in rendered] == [
        "It is Saturday, 2026-03-14 16:09 (Europe/Oslo).",
        "a",
        "b",
        "c",
        "It is Saturday, 2026-03-14 16:15 (Europe/Oslo).",
        "d",
    ]
