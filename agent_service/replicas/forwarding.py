"""Calls about a conversation that another replica runs are handed on to it, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from google.protobuf.message import Message

from agent_service.stores.replicas import Elsewhere
from servicekit.channel import IMPATIENT_OPTIONS, Peer
from servicekit.metering import Meter
from servicekit.principal import Principal, Signer
from servicekit.rpc import Context
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.sharing_pb2_grpc import SharingServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
_FORWARDED = "triptych-forwarded"
_STUBS: tuple[Any, ...] = (AgentServiceStub, TurnServiceStub, SharingServiceStub)


class _Neighbour(Peer):
    """Another replica of this service; it does not hand on what came from here."""

    def metadata(self, caller: Principal | None = None) -> tuple[tuple[str, str], ...]:
        return (*super().metadata(caller), (_FORWARDED, "1"))


class Forwarder:
    """`service`: this service's name, as which it signs and for which the others verify."""

    def __init__(self, service: str, signer: Signer, meter: Meter) -> None:
        self._service, self._signer, self._meter = service, signer, meter
        self._peers: dict[str, _Neighbour] = {}

    async def unary(self, elsewhere: Elsewhere, method: str, request: Message) -> Any:
        """Raises: what the other replica raised; Unavailable if it can't be reached."""
        peer = self._peer(elsewhere)
        return await peer.unary(_method(peer, method), request)

    async def stream(self, elsewhere: Elsewhere, method: str, request: Message) -> AsyncIterator[Any]:
        """Raises as `unary`."""
        peer = self._peer(elsewhere)
        async for response in peer.stream(_method(peer, method), request):
            yield response

    async def cancel(self, elsewhere: Elsewhere, turn_id: str) -> None:
        await self.unary(elsewhere, "CancelTurn", turn_pb2.CancelTurnRequest(turn_id=turn_id))

    async def close(self) -> None:
        for peer in self._peers.values():
            await peer.close()

    def _peer(self, elsewhere: Elsewhere) -> _Neighbour:
        address = elsewhere.address
        if not address:
            raise elsewhere
        if address not in self._peers:
            self._peers[address] = _Neighbour(self._service, address, self._signer, self._meter, IMPATIENT_OPTIONS)
        return self._peers[address]


def forwarded(
    method: Callable[[Any, Request, Context], Awaitable[Response]],
) -> Callable[[Any, Request, Context], Awaitable[Response]]:
    """Has the owner of the conversation answer, if that is another replica. The servicer has a `_forwarder`."""

    @wraps(method)
    async def call(servicer: Any, request: Request, context: Context) -> Response:
        try:
            return await method(servicer, request, context)
        except Elsewhere as elsewhere:
            _check_first(context, elsewhere)
            answer: Response = await servicer._forwarder.unary(elsewhere, method.__name__, request)
            return answer

    return call


def forwarded_stream(
    method: Callable[[Any, Request, Context], AsyncIterator[Response]],
) -> Callable[[Any, Request, Context], AsyncIterator[Response]]:
    """The same for a method that answers with a stream, which learns where the conversation is before it gives any."""

    @wraps(method)
    async def call(servicer: Any, request: Request, context: Context) -> AsyncIterator[Response]:
        try:
            async for response in method(servicer, request, context):
                yield response
            return
        except Elsewhere as found:
            _check_first(context, found)
            elsewhere = found
        async for response in servicer._forwarder.stream(elsewhere, method.__name__, request):
            yield response

    return call


def _check_first(context: Context, elsewhere: Elsewhere) -> None:
    """Raises `elsewhere` if the call was handed on before: it must not go round while a conversation changes hands."""
    if any(key == _FORWARDED for key, _ in context.invocation_metadata() or ()):
        raise elsewhere


def _method(peer: Peer, name: str) -> Any:
    return next(getattr(stub(peer.channel), name) for stub in _STUBS if hasattr(stub(peer.channel), name))
