"""Readers of a turn's live events: each gets all of them in order, or is told that it fell behind."""

from __future__ import annotations

import asyncio

import pytest

from agent_service.turns import feed as feeds
from agent_service.turns.feed import Feed
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import ResourceExhausted


def _events(first: int, last: int) -> list[TurnEvent]:
    return [TurnEvent(sequence=number) for number in range(first, last + 1)]


async def test_a_reader_gets_the_backlog_and_what_comes_until_the_end() -> None:
    feed = Feed(_events(1, 2))
    reader = feed.attach(1, deltas=False)
    got: list[int] = []

    async def read() -> None:
        async for event in feed.read(reader):
            got.append(event.sequence)

    reading = asyncio.create_task(read())
    for event in _events(2, 5):  # the first was in the backlog
        feed.send([event])
        await asyncio.sleep(0)
    feed.close()
    async with asyncio.timeout(5):
        await reading
    assert got == [2, 3, 4, 5]


async def test_a_reader_that_falls_behind_is_told_and_has_no_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds, "_BUFFER", 3)
    feed = Feed([])
    reader = feed.attach(0, deltas=False)
    reading = feed.read(reader)
    feed.send(_events(1, 1))
    assert (await anext(aiter(reading))).sequence == 1
    feed.send(_events(2, 6))
    got: list[int] = []

    async def read() -> None:
        async for event in reading:
            got.append(event.sequence)

    with pytest.raises(ResourceExhausted):
        await read()
    assert got == list(range(2, 2 + len(got)))
    assert reader.last == 1 + len(got)
