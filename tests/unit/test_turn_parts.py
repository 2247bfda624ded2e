"""The journal, the feed and the lanes that a turn is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent_service.turns import journal
from agent_service.turns.deltas import DeltaStream
from agent_service.turns.feed import Feed
from agent_service.turns.lanes import MAX_WAITING, Lanes
from triptych.agent.v1.turn_pb2 import TextDelta, TurnAccepted, TurnDone, TurnEvent
from triptych.errors import Aborted, ResourceExhausted
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1.type_pb2 import ToolCall, ToolReturn


def accepted() -> TurnEvent:
    return TurnEvent(sequence=1, accepted=TurnAccepted(messages=[Message(id="in", text="hello")]))


def answer(step: str, *calls: str) -> TurnEvent:
    made = [ToolCall(id=call, name="f") for call in calls]
    return TurnEvent(message=Message(id=step, step_id=step, tool_calls=made))


def result(step: str, call: str) -> TurnEvent:
    return TurnEvent(tool_result=Message(id=call, step_id=step, tool_return=ToolReturn(tool_call_id=call)))


def ids(batches: list[journal.Batch]) -> list[list[str]]:
    return [[message.id for message in batch.messages] for batch in batches]


def test_a_batch_never_changes_once_it_may_have_been_sent() -> None:
    events = [accepted()]
    sent: list[list[str]] = []
    for event in (answer("s1", "a", "b"), result("s1", "a"), result("s1", "b"), answer("s2", "c"), result("s2", "c")):
        events.append(event)
        now = ids(journal.batches("t", events, ended=False))
        assert now[: len(sent)] == sent
        sent = now
    events.append(answer("s3"))
    final = journal.batches("t", events, ended=True)
    assert ids(final) == [["in", "s1", "a", "b"], ["s2", "c"], ["s3"]]
    assert [batch.request_id for batch in final] == ["t/0", "t/1", "t/2"]
    assert ids(final)[: len(sent)] == sent


def test_a_step_that_is_too_large_for_one_append_goes_in_several_that_never_change() -> None:
    large = "x" * 900_000
    events = [accepted(), answer("s1", *"abcde")]
    events += [result("s1", call) for call in "abcde"]
    for event in events[2:]:
        event.tool_result.text = large
    found = journal.batches("t", [*events, answer("s2")], ended=True)
    assert ids(found) == [["in", "s1", "a", "b"], ["c", "d"], ["e"], ["s2"]]
    assert [batch.request_id for batch in found] == ["t/0", "t/0/1", "t/0/2", "t/1"]
    assert journal.batches("t", events, ended=False) == found[:3]
    assert journal.batches("t", events[:-1], ended=False) == []


def test_a_turn_that_failed_at_once_still_tells_what_the_user_said() -> None:
    assert ids(journal.batches("t", [accepted()], ended=False)) == []
    assert ids(journal.batches("t", [accepted()], ended=True)) == [["in"]]


def test_open_calls_are_those_of_the_last_step_without_a_result() -> None:
    events = [accepted(), answer("s1", "a", "b"), result("s1", "a")]
    assert [call.id for call in journal.open_calls(events)] == ["b"]
    assert journal.open_calls([*events, result("s1", "b")]) == []


async def collected(feed: Feed, after: int, *, deltas: bool) -> list[TurnEvent]:
    return [event async for event in feed.read(feed.attach(after, deltas=deltas))]


async def test_a_reader_gets_each_journalled_event_once_whenever_it_comes() -> None:
    feed = Feed([accepted()])
    early = asyncio.create_task(collected(feed, 0, deltas=True))
    await asyncio.sleep(0)
    feed.send([TurnEvent(text_delta=TextDelta(text="x"))])
    last = TurnEvent(sequence=2, done=TurnDone())
    feed.record([last])
    between = asyncio.create_task(collected(feed, 1, deltas=False))
    await asyncio.sleep(0)
    feed.send([last])
    feed.close()
    assert [event.sequence for event in await early] == [1, 0, 2]
    assert [event.sequence for event in await between] == [2]
    assert [event.sequence for event in await collected(feed, 0, deltas=True)] == [1, 2]


async def drained(reading: AsyncIterator[TurnEvent]) -> None:
    async for _ in reading:
        continue


async def test_a_slow_reader_is_detached_and_told_so() -> None:
    feed = Feed([])
    reading = feed.read(feed.attach(0, deltas=True))
    first = asyncio.create_task(anext(reading))
    await asyncio.sleep(0)
    for sequence in range(1, 1200):
        feed.send([TurnEvent(sequence=sequence)])
    assert not feed.wants_deltas
    await first
    with pytest.raises(ResourceExhausted, match="resume"):
        await drained(reading)


async def test_the_first_piece_leaves_at_once_and_later_ones_are_gathered() -> None:
    out: list[tuple[str, str]] = []
    stream = DeltaStream(lambda kind, text: out.append((kind, text)))
    sink = stream.sink()
    sink.text("a")
    assert out == [("text", "a")]
    sink.text("b")
    sink.text("c")
    assert out == [("text", "a")]
    sink.reasoning("r")
    stream.flush()
    assert out == [("text", "a"), ("text", "bc"), ("reasoning", "r")]


async def test_a_lane_is_first_come_first_served_and_bounded() -> None:
    lanes, order = Lanes(), list[int]()

    async def turn(number: int) -> None:
        async with lanes.turn("c"):
            order.append(number)
            await asyncio.sleep(0)

    assert [lanes.take_place("c") for _ in range(3)] == [True, False, False]
    assert lanes.take_place("other")
    await asyncio.gather(*(turn(number) for number in range(3)))
    assert order == [0, 1, 2]
    assert lanes.take_place("c"), "an empty lane starts anew"
    for _ in range(MAX_WAITING):
        lanes.take_place("c")
    with pytest.raises(Aborted):
        lanes.take_place("c")
