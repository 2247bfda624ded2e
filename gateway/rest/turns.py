"""Turns for the REST edge: starting them, and their events as letta-client programs read them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import Request

from gateway.backends import Backends
from gateway.rest import letta_messages, shapes
from gateway.rest.schemas import InputMessage, MessagesCreate
from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import InvalidArgument, TriptychError, from_status
from triptych.type.v1 import type_pb2

_ERRORS = {
    type_pb2.ERROR_REASON_MODEL_UNAVAILABLE: 503,
    type_pb2.ERROR_REASON_MODEL_NOT_CONFIGURED: 503,
    type_pb2.ERROR_REASON_MODEL_TIMEOUT: 504,
    type_pb2.ERROR_REASON_MODEL_REFUSED: 502,
    type_pb2.ERROR_REASON_MODEL_GARBAGE: 502,
}
_PING_SECONDS = 15.0


class TurnFailed(TriptychError):
    """A turn that ended in an error, as an HTTP answer."""

    def __init__(self, error: pb.TurnError) -> None:
        super().__init__(error.message, reason=error.reason)
        self.http_status = _ERRORS.get(error.reason, 500)  # type: ignore[misc]


@dataclass
class Finished:
    """What came of a turn."""

    turn: pb.Turn
    messages: list[Any] = field(default_factory=list)


def start_request(
    agent_id: str, conversation_id: str, body: MessagesCreate, request: Request, *, deltas: bool, background: bool
) -> pb.StartTurnRequest:
    """The same `otid`, or the same Idempotency-Key, is the same turn. Raises: InvalidArgument."""
    given = list(body.messages or [])
    if body.input is not None:
        given.append(InputMessage(content=body.input))
    if not given:
        raise InvalidArgument.of("messages", "must not be empty")
    messages = [
        pb.InputMessage(
            role=type_pb2.ROLE_SYSTEM if message.role == "system" else type_pb2.ROLE_USER,
            text=_text(message),
            name=message.name or "",
            otid=message.otid or "",
        )
        for message in given
    ]
    key = given[-1].otid or request.headers.get("idempotency-key") or str(uuid.uuid4())
    return pb.StartTurnRequest(
        agent_id=agent_id,
        conversation_id=conversation_id,
        request_id=key,
        messages=messages,
        max_steps=body.max_steps,
        deltas=deltas,
        background=background,
    )


def _text(message: InputMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    texts = []
    for part in message.content:
        if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            raise InvalidArgument.of("messages.content", "only text parts are supported here")
        texts.append(part["text"])
    return "\n".join(texts)


async def run_to_end(back: Backends, start: pb.StartTurnRequest) -> Finished:
    """Waits for the turn's end. Raises: TurnFailed; what StartTurn raises."""
    messages: list[Any] = []
    turn: pb.Turn | None = None
    # To the stream's own end, behind the last event: what the turn has used comes with that.
    async for response in back.agent_peer.stream(back.turns.StartTurn, start):
        event = response.event
        kind = event.WhichOneof("event")
        if kind in ("message", "tool_result"):
            messages.append(getattr(event, kind))
        elif kind in ("done", "approval_request"):
            turn = getattr(event, kind).turn
    if turn is None:
        raise from_status(14, "the server is stopping; the turn goes on when it is back")
    if turn.HasField("error"):
        raise TurnFailed(turn.error)
    return Finished(turn, messages)


async def accepted(back: Backends, start: pb.StartTurnRequest) -> pb.Turn:
    """Starts a turn and leaves it to run. Raises: what StartTurn raises."""
    async for response in back.agent_peer.stream(back.turns.StartTurn, start):
        if response.event.HasField("accepted"):
            return response.event.accepted.turn
    raise from_status(14, "the server is stopping")


async def sse(back: Backends, start: pb.StartTurnRequest, only: Sequence[str] | None) -> AsyncIterator[bytes]:
    """The turn as server-sent events: ping, messages (or their pieces), stop reason, usage, [DONE]."""
    yield _data({"message_type": "ping"})
    events = back.agent_peer.stream(back.turns.StartTurn, start).__aiter__()
    streamed: set[str] = set()
    over = False
    waiting: asyncio.Future[Any] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([waiting], timeout=_PING_SECONDS)
            if not done:
                yield _data({"message_type": "ping"})
                continue
            response, waiting = waiting.result(), None
            for line in _lines(response.event, streamed, only):
                yield line
            over = over or response.event.WhichOneof("event") in ("done", "approval_request")
    except StopAsyncIteration:
        if not over:
            yield _error("the server is stopping; the turn goes on when it is back", "UNAVAILABLE")
    except TriptychError as error:
        yield _error(error.message, error.reason_name)
    finally:
        if waiting is not None:
            waiting.cancel()
    yield b"data: [DONE]\n\n"


def _lines(event: pb.TurnEvent, streamed: set[str], only: Sequence[str] | None) -> list[bytes]:
    """What one event is on the wire. `streamed`: ids and types of messages whose text went out in pieces."""
    kind = event.WhichOneof("event")
    if kind in ("text_delta", "reasoning_delta"):
        piece = getattr(event, kind)
        shown = letta_messages.delta(
            kind.removesuffix("_delta"),
            piece.text,
            piece.message_id,
            event.turn_id,
            event.step_id,
            shapes.time(event.create_time),
        )
        streamed.add(piece.message_id + shown["message_type"])
        return _wanted([shown], only)
    if kind == "message":
        parts = letta_messages.parts(event.message)
        return _wanted([part for part in parts if part["id"] + part["message_type"] not in streamed], only)
    if kind == "tool_result":
        return _wanted(letta_messages.parts(event.tool_result), only)
    if kind == "error":
        reason = type_pb2.ErrorReason.Name(event.error.reason).removeprefix("ERROR_REASON_")
        return [_error(event.error.message, reason)]
    if kind in ("done", "approval_request"):
        turn = getattr(event, kind).turn
        return [_data(shapes.stop_reason(turn)), _data(shapes.usage(turn))]
    return []


def _wanted(parts: list[shapes.Json], only: Sequence[str] | None) -> list[bytes]:
    return [_data(part) for part in parts if only is None or part["message_type"] in only]


def _data(content: Any) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def _error(message: str, reason: str) -> bytes:
    content = {"message_type": "error_message", "error_type": reason.lower(), "message": message}
    return b"event: error\n" + _data(content)
