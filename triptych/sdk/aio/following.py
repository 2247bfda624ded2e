"""A turn's events over as many connections as it takes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import Cancelled, ResourceExhausted, TriptychError, Unavailable
from triptych.sdk.aio.pause import pause

_ENDS = ("done", "approval_request")
# How long a stream tries to go on with no event received, and how it waits in between.
_RESUME_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
# Of a started turn, what the next try mends: the way is cut, the server stops, or it gave a slow reader up.
_RESUMABLE = (Unavailable, Cancelled, ResourceExhausted)


async def followed(
    open_stream: Callable[[str, int], AsyncIterator[TurnEvent]],
    *,
    start_seconds: float,
    turn_id: str = "",
    after_sequence: int = 0,
) -> AsyncIterator[TurnEvent]:
    """The events down to the one that ends the turn, or has it wait; taken up again wherever a stream breaks.

    `open_stream(turn_id, last)`: a stream of the events behind `last`; without a turn's id, the one that starts it.
    `start_seconds`: how long starting is tried. Raises: what the streams raise and another one would not mend.
    """
    last, wait, heard = after_sequence, _FIRST_PAUSE_SECONDS, time.monotonic()
    over = False
    while True:
        problem: TriptychError = Unavailable("the stream ended before the turn did; it goes on at the server")
        try:
            async for event in open_stream(turn_id, last):
                turn_id, last = event.turn_id, event.sequence or last
                wait, heard = _FIRST_PAUSE_SECONDS, time.monotonic()
                yield event
                # The stream's end is right behind: who leaves before it keeps the server from counting what was used.
                over = over or event.WhichOneof("event") in _ENDS
        except _RESUMABLE as error:
            problem = error
        if over:
            return
        if not turn_id and not isinstance(problem, Unavailable):
            raise problem
        if time.monotonic() - heard > (_RESUME_SECONDS if turn_id else start_seconds):
            raise problem
        await pause(wait)
        wait = min(2 * wait, _LONGEST_PAUSE_SECONDS)
