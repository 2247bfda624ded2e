"""What a session's requests become at agent_service. Events pass through as the bytes that they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

import grpc
from google.protobuf.message import Message

from gateway.backends import Backends
from triptych.agent.v1 import turn_pb2
from triptych.gateway.v1 import gateway_pb2 as pb

SERVICE = "/triptych.agent.v1.TurnService/"
_STREAMS = tuple(SERVICE + name for name in ("StartTurn", "ContinueTurn", "ResumeTurn"))


class Wanted(NamedTuple):
    """One action of a session: the method that it stands for, and that method's request."""

    method: str
    request: Message


def wanted(request: pb.SessionRequest) -> Wanted | None:
    """None for what begins no call."""
    kind = request.WhichOneof("action")
    if kind == "start":
        request.start.together = False  # a session gives each event as it comes, by the field that responses share
        return Wanted(SERVICE + "StartTurn", request.start)
    if kind == "resume":
        return Wanted(SERVICE + "ResumeTurn", request.resume)
    if kind == "continue_turn":
        return Wanted(SERVICE + "ContinueTurn", request.continue_turn)
    if kind == "cancel":
        return Wanted(SERVICE + "CancelTurn", request.cancel)
    return None


class Turns:
    """TurnService, by bytes."""

    def __init__(self, backends: Backends) -> None:
        self._back, self._peer = backends, backends.agent_peer
        self._streams: dict[str, grpc.aio.UnaryStreamMultiCallable[bytes, bytes]] = {
            name: self._peer.methods.unary_stream(name) for name in _STREAMS
        }

    async def responses(self, wanted: Wanted) -> AsyncGenerator[bytes, None]:
        """The beginnings of SessionResponses, to which nothing but `call_id` has to be added.

        Theirs and ours have the event in the same field, and protobuf reads two messages one behind the other as one.
        Raises: the TriptychError that agent_service raised.
        """
        if wanted.method in self._streams:
            async for raw in self._peer.stream(self._streams[wanted.method], wanted.request.SerializeToString()):
                yield raw
            return
        assert isinstance(wanted.request, turn_pb2.CancelTurnRequest)
        turn = (await self._peer.unary(self._back.turns.CancelTurn, wanted.request)).turn
        event = turn_pb2.TurnEvent(turn_id=turn.id, done=turn_pb2.TurnDone(turn=turn))
        yield pb.SessionResponse(event=event).SerializeToString()
