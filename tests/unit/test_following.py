"""A turn's events are read to the stream's own end: what was used comes with that."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from triptych.agent.v1.turn_pb2 import ApprovalRequest, TurnDone, TurnEvent
from triptych.errors import Unavailable
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
