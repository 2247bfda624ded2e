"""A turn's events as letta-client programs read them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson
from fastapi import Response

from gateway.backends import Backends
from gateway.rest import forms, letta_messages, run_shapes
from gateway.rest.events import EventStream
from gateway.rest.letta_messages import Wanted
from triptych.agent.v1 import turn_pb2 as pb
from triptych.agent.v1.sharing_pb2 import StartSharedTurnResponse
from triptych.errors import TriptychError, from_status
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_ERRORS = {
    type_pb2.ERROR_REASON_MODEL_UNAVAILABLE: 503,
    type_pb2.ERROR_REASON_MODEL_NOT_CONFIGURED: 503,
    type_pb2.ERROR_REASON_MODEL_TIMEOUT: 504,
    type_pb2.ERROR_REASON_MODEL_REFUSED: 502,
    type_pb2.ERROR_REASON_MODEL_GARBAGE: 502,
    type_pb2.ERROR_REASON_CONTEXT_OVERFLOW: 422,
    type_pb2.ERROR_REASON_DEADLINE_EXCEEDED: 504,
    type_pb2.ERROR_REASON_UNAVAILABLE: 503,
    type_pb2.ERROR_REASON_CONVERSATION_BUSY: 409,
}
Started: TypeAlias = pb.StartTurnResponse | pb.ResumeTurnResponse | StartSharedTurnResponse


class TurnFailed(TriptychError):
    """A turn that ended in an error, as an HTTP answer."""

    def __init__(self, error: pb.TurnError) -> None:
        super().__init__(error.message, reason=error.reason)
        self.http_status = _ERRORS.get(error.reason, 500)  # type: ignore[misc]


@dataclass
class Finished:
    """What came of a turn. `compactions`: events, each with how many of the messages came before it."""

    turn: pb.Turn
    messages: list[Message] = field(default_factory=list)
    compactions: list[tuple[int, pb.TurnEvent]] = field(default_factory=list)

    def shown(self, wanted: Wanted) -> list[forms.Json]:
        parts, shown = [], 0
        for before, event in self.compactions if wanted.compactions else ():
            parts += letta_messages.expanded(self.messages[shown:before], wanted)
            parts += wanted.of(letta_messages.compaction(event))
            shown = before
        parts += letta_messages.without_pending(letta_messages.expanded(self.messages[shown:], wanted), self.turn)
        if self.turn.pending_calls and self.messages:
            parts += wanted.of([letta_messages.approval_request(self.messages[-1], self.turn)])
        return parts


async def run_to_end(back: Backends, start: pb.StartTurnRequest) -> Finished:
    """Waits for the turn's end. Raises: TurnFailed; what StartTurn raises."""
    messages: list[Message] = []
    compactions: list[tuple[int, pb.TurnEvent]] = []
    turn: pb.Turn | None = None
    start.together = True
    # To the stream's own end, behind the last event: what the turn has used comes with that.
    async for response in back.agent_peer.stream(back.turns.StartTurn, start):
        for event in (response.event, *response.events):
            kind = event.WhichOneof("event")
            if kind in ("message", "tool_result"):
                messages.append(getattr(event, kind))
            elif kind == "compaction":
                compactions.append((len(messages), event))
            elif kind in ("done", "approval_request"):
                turn = getattr(event, kind).turn
    if turn is None:
        raise from_status(14, "the server is stopping; the turn goes on when it is back")
    if turn.HasField("error"):
        raise TurnFailed(turn.error)
    return Finished(turn, messages, compactions)


async def accepted(back: Backends, start: pb.StartTurnRequest) -> pb.Turn:
    """Starts a turn and leaves it to run. Raises: what StartTurn raises."""
    async for response in back.agent_peer.stream(back.turns.StartTurn, start):
        if response.event.HasField("accepted"):
            return response.event.accepted.turn
    raise from_status(14, "the server is stopping")


async def begun(back: Backends, start: pb.StartTurnRequest) -> Events:
    """The events of a turn that is accepted. Raises: what StartTurn raises, while it can still be a plain answer."""
    events = back.agent_peer.stream(back.turns.StartTurn, start)
    return await opened(events)


async def opened(events: AsyncGenerator[Started]) -> Events:
    """A stream whose first event is there. Raises: what there is in the place of that event."""
    first = await anext(events, None)
    if first is None:
        raise from_status(14, "the server is stopping")
    return Events(first, events)


async def rejoined(back: Backends, turn_id: str, after_sequence: int) -> Events:
    """The events of a turn behind that one, and what is still to come. Raises: NotFound."""
    # Not the first event: that may be long in coming, and the program waits to hear that it is heard.
    turn = (await back.agent_peer.unary(back.turns.GetTurn, pb.GetTurnRequest(turn_id=turn_id))).turn
    request = pb.ResumeTurnRequest(turn_id=turn_id, after_sequence=after_sequence, deltas=True)
    events = back.agent_peer.stream(back.turns.ResumeTurn, request)
    return Events(pb.ResumeTurnResponse(event=pb.TurnEvent(turn_id=turn.id)), events)


@dataclass
class Events:
    """`first`: the one that says that the turn is accepted, or found. `later`: the others, as they come."""

    first: Started
    later: AsyncGenerator[Started]


def streamed(events: Events, wanted: Wanted = letta_messages.ALL) -> Response:
    return EventStream(sse(events, wanted), _ping(events.first.event))


async def sse(events: Events, wanted: Wanted) -> AsyncGenerator[bytes, None]:
    """The turn as server-sent events: ping, messages (or their pieces), stop reason, usage, [DONE]."""
    yield _ping(events.first.event)
    lines = _Lines(wanted)
    try:
        for line in lines.of(events.first.event):
            yield line
        async with aclosing(events.later) as later:
            async for response in later:
                for line in lines.of(response.event):
                    yield line
        if not lines.over:
            for line in lines.held():
                yield line
            yield _error("the server is stopping; the turn goes on when it is back", "UNAVAILABLE")
    except TriptychError as error:
        yield _error(error.message, error.reason_name)
    yield b"data: [DONE]\n\n"


class _Lines:
    """What events are on the wire. `over`: the last event was there."""

    def __init__(self, wanted: Wanted) -> None:
        self._wants, self.over = wanted, False
        # Ids and types of messages whose text went out in pieces.
        self._streamed: set[str] = set()
        self._last = Message()
        # Calls of the last answer: what comes behind them, which is soon, says which of them the turn waits for.
        self._calls: list[forms.Json] = []
        # Of the newest event that a stream can be taken up behind: the pieces have none of their own.
        self._sequence: int | None = None

    def of(self, event: pb.TurnEvent) -> list[bytes]:
        if event.HasField("approval_request"):
            self._calls = letta_messages.without_pending(self._calls, event.approval_request.turn)
        before = [] if event.HasField("tool_call") else self.held()
        return before + self._of(event)

    def held(self) -> list[bytes]:
        """What is still to be sent of what came before."""
        calls, self._calls = self._calls, []
        return self._wanted(calls)

    def _of(self, event: pb.TurnEvent) -> list[bytes]:
        kind = event.WhichOneof("event")
        self._sequence = event.sequence or self._sequence
        if kind in ("text_delta", "reasoning_delta"):
            return self._wanted([self._piece(event, kind)])
        if kind == "message":
            self._last = event.message
            parts = letta_messages.parts(event.message, spoken=self._wants.spoken)
            new = [part for part in parts if part["id"] + part["message_type"] not in self._streamed]
            self._calls = [part for part in new if letta_messages.is_call(part)]
            return self._wanted([part for part in new if not letta_messages.is_call(part)])
        if kind == "tool_result":
            parts = letta_messages.parts(event.tool_result, spoken=self._wants.spoken)
            return self._wanted(parts)
        if kind == "compaction" and self._wants.compactions:
            return self._wanted(letta_messages.compaction(event))
        if kind == "error":
            reason = type_pb2.ErrorReason.Name(event.error.reason).removeprefix("ERROR_REASON_")
            return [_error(event.error.message, reason)]
        if kind in ("done", "approval_request"):
            self.over = True
            turn = getattr(event, kind).turn
            asked = [letta_messages.approval_request(self._last, turn)] if turn.pending_calls else []
            return [
                *self._wanted(asked),
                _data(run_shapes.stop_reason(turn)),
                _data(run_shapes.usage(turn)),
            ]
        return []

    def _piece(self, event: pb.TurnEvent, kind: str) -> forms.Json:
        piece = getattr(event, kind)
        shown = letta_messages.delta(
            kind.removesuffix("_delta"),
            piece.text,
            piece.message_id,
            event.turn_id,
            event.step_id,
            forms.time(event.create_time),
        )
        self._streamed.add(piece.message_id + shown["message_type"])
        return shown

    def _wanted(self, parts: list[forms.Json]) -> list[bytes]:
        """`seq_id`: behind which a program that lost the stream can go on."""
        return [_data({**part, "seq_id": self._sequence}) for part in self._wants.of(parts)]


def _data(content: Any) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def _error(message: str, reason: str) -> bytes:
    content = {"message_type": "error_message", "error_type": reason.lower(), "message": message}
    return b"event: error\n" + _data(content)


def _ping(first: pb.TurnEvent) -> bytes:
    """Says which run it is before anything else does: by that a program takes up a stream that it lost."""
    run_id = first.turn_id
    at = forms.time(first.create_time) or datetime.now(UTC).isoformat()
    ping_id = f"ping-{run_id.removeprefix('run-') or uuid.uuid4()}"
    return _data({"id": ping_id, "date": at, "message_type": "ping", "run_id": run_id or None})
