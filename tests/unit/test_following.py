"""A turn's events are read to the stream's own end: what was used comes with that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from triptych.agent.v1.turn_pb2 import ApprovalRequest, TextDelta, TurnDone, TurnEvent
from triptych.errors import Unavailable
from triptych.recall.v1.recall_pb2 import Message
from triptych.sdk.aio import following
from triptych.sdk.aio.following import followed
from triptych.sdk.aio.turns import reply

DONE = TurnEvent(turn_id="t", sequence=2, done=TurnDone())
WAITS = TurnEvent(turn_id="t", sequence=2, approval_request=ApprovalRequest())


@pytest.mark.parametrize("last", [DONE, WAITS], ids=["done", "waits"])
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut behind it"])
async def test_it_is_read_to_its_end_and_no_further(last: TurnEvent, cut: bool) -> None:
    opened: list[int] = []
    ended: list[int] = []

    async def stream(turn_id: str, after: int) -> AsyncIterator[TurnEvent]:
        opened.append(after)
        yield last
        ended.append(after)
        if cut:
            raise Unavailable("the server stops")

    assert (await reply(followed(stream, start_seconds=1))).messages == []
    assert (opened, ended) == ([0], [0])


def _delta(text: str) -> TurnEvent:
    return TurnEvent(turn_id="t", text_delta=TextDelta(text=text, message_id="m"))


@pytest.mark.parametrize(
    "behind",
    [[_delta("one two"), _delta(" three")], [_delta("one "), _delta("two three")], []],
    ids=["from its beginning", "as far as it was", "over"],
)
async def test_a_message_whose_stream_breaks_in_its_middle_is_there_once_in_deltas(behind: list[TurnEvent]) -> None:
    message = TurnEvent(turn_id="t", sequence=1, message=Message(id="m", text="one two three"))
    streams = [[_delta("one"), _delta(" ")], [*behind, message, DONE]]

    async def stream(turn_id: str, after: int) -> AsyncIterator[TurnEvent]:
        for event in streams.pop(0):
            yield event
        if streams:
            raise Unavailable("the server stops")

    events = [event async for event in followed(stream, start_seconds=1)]
    assert "".join(event.text_delta.text for event in events) == "one two three"
    assert [event.WhichOneof("event") for event in events][-2:] == ["message", "done"]


async def test_a_stream_that_was_silent_for_long_is_taken_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now, opened = 0.0, 0
    monkeypatch.setattr(following, "time", SimpleNamespace(monotonic=lambda: now))

    async def stream(turn_id: str, after: int) -> AsyncIterator[TurnEvent]:
        nonlocal now, opened
        opened += 1
        if opened == 1:
            yield TurnEvent(turn_id="t", sequence=1)
            now += 600  # the model thinks
            raise Unavailable("the gateway is started anew")
        yield DONE

    assert [event.sequence async for event in followed(stream, start_seconds=1)] == [1, 2]
