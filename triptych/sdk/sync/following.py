# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""A turn's events over as many connections as it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Callable

from triptych.agent.v1.turn_pb2 import TextDelta, TurnEvent
from triptych.errors import Cancelled, ResourceExhausted, TriptychError, Unavailable
from triptych.sdk.sync.pause import pause

_ENDS = ("done", "approval_request")
# How long a stream tries to go on with no event received, and how it waits in between.
_RESUME_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
# Of a started turn, what the next try mends: the way is cut, the server stops, or it gave a slow reader up.
_RESUMABLE = (Unavailable, Cancelled, ResourceExhausted)


def followed(
    open_stream: Callable[[str, int], Iterator[TurnEvent]],
    *,
    start_seconds: float,
    turn_id: str = "",
    after_sequence: int = 0,
) -> Iterator[TurnEvent]:
    """The events down to the one that ends the turn, or has it wait; taken up again wherever a stream breaks.

    Where that is in the middle of a message, its deltas go on too.
    `open_stream(turn_id, last)`: a stream of the events behind `last`; without a turn's id, the one that starts it.
    `start_seconds`: how long starting is tried. Raises: what the streams raise and another one would not mend.
    """
    last, wait, heard = after_sequence, _FIRST_PAUSE_SECONDS, time.monotonic()
    over, pieces = False, _Pieces()
    while True:
        opened = time.monotonic()
        problem: TriptychError = Unavailable("the stream ended before the turn did; it goes on at the server")
        try:
            for event in open_stream(turn_id, last):
                turn_id, last = event.turn_id, event.sequence or last
                wait, heard = _FIRST_PAUSE_SECONDS, time.monotonic()
                for each in pieces.unseen(event):
                    yield each
                # The stream's end is right behind: who leaves before it keeps the server from counting what was used.
                over = over or event.WhichOneof("event") in _ENDS
        except _RESUMABLE as error:
            problem = error
        if over:
            return
        if not turn_id and not isinstance(problem, Unavailable):
            raise problem
        pieces.taken_up()
        if time.monotonic() - opened > _RESUME_SECONDS:  # it stood, and there was nothing to hear
            heard = time.monotonic()
        if time.monotonic() - heard > (_RESUME_SECONDS if turn_id else start_seconds):
            raise problem
        pause(wait)
        wait = min(2 * wait, _LONGEST_PAUSE_SECONDS)


class _Pieces:
    """What has come of the message under way in deltas: a stream that is taken up gives it from its beginning."""

    def __init__(self) -> None:
        self._message_id = ""
        self._texts: dict[str, list[str]] = {}
        # Of each kind of delta what is not to come a second time.
        self._known: dict[str, str] = {}

    def taken_up(self) -> None:
        self._known = {kind: "".join(texts) for kind, texts in self._texts.items()}

    def unseen(self, event: TurnEvent) -> list[TurnEvent]:
        """The event without what has come of it before; before a message, the rest of its text."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            return self._behind(kind, event, event.text_delta)
        if kind == "reasoning_delta":
            return self._behind(kind, event, event.reasoning_delta)
        rest = self._rest(event) if kind == "message" else []
        if kind in ("message", "step_restarted"):
            self._begin("")
        return [*rest, event]

    def _begin(self, message_id: str) -> None:
        self._message_id, self._texts, self._known = message_id, {}, {}

    def _behind(self, kind: str, event: TurnEvent, delta: TextDelta) -> list[TurnEvent]:
        if delta.message_id != self._message_id:
            self._begin(delta.message_id)
        delta.text = delta.text.removeprefix(self._known.pop(kind, ""))
        self._texts.setdefault(kind, []).append(delta.text)
        return [event] if delta.text else []

    def _rest(self, event: TurnEvent) -> list[TurnEvent]:
        known = self._known.get("text_delta", "")
        text = event.message.text
        if not known or event.message.id != self._message_id or not text.startswith(known) or text == known:
            return []
        delta = TextDelta(text=text.removeprefix(known), message_id=self._message_id)
        return [TurnEvent(turn_id=event.turn_id, attempt=event.attempt, step_id=event.step_id, text_delta=delta)]
