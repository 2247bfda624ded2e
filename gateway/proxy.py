"""Serves the tiers' own services to outsiders: bytes in, bytes out, under the caller's signed principal.

Only the methods of these services are forwarded. What is forwarded is never decoded, and nothing of the caller's
metadata goes along but the request id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from gateway.peers import CallersPeer
from servicekit import deadline
from servicekit.rpc import Call, Context, Guard, full_name


def forwarding_handlers(
    guard: Guard, services: Mapping[CallersPeer, list[ServiceDescriptor]]
) -> grpc.GenericRpcHandler:
    """A handler for every method of `services`, which go to the peer they stand with."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for peer, descriptors in services.items():
        for method in (method for descriptor in descriptors for method in descriptor.methods):
            handlers[full_name(method)] = _maker(method)(guard, peer, method)
    return _Handlers(handlers)


def _maker(method: MethodDescriptor) -> Callable[..., grpc.RpcMethodHandler[Any, Any]]:
    if method.client_streaming:
        return _both
    return _stream if method.server_streaming else _unary


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


def _unary(guard: Guard, peer: CallersPeer, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
    name = full_name(method)
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = peer.channel.unary_unary(name)

    async def forward(raw: bytes, context: Context) -> bytes:
        async with Call(guard, name, context, guard.unary_seconds), peer.short(name):
            under_way = call(raw, metadata=_metadata(peer, context), timeout=deadline.for_next_hop(guard.unary_seconds))
            answer = await under_way
            await peer.note_usage(under_way)
            return answer
        raise AssertionError("the call was aborted")

    return grpc.unary_unary_rpc_method_handler(forward)


def _stream(guard: Guard, peer: CallersPeer, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
    name = full_name(method)
    call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = peer.channel.unary_stream(name)

    async def forward(raw: bytes, context: Context) -> None:
        async with Call(guard, name, context, guard.stream_seconds), peer.long(name):
            answers = call(raw, metadata=_metadata(peer, context), timeout=deadline.for_next_hop(guard.stream_seconds))
            await _hand_on(answers, peer, context)

    return grpc.unary_stream_rpc_method_handler(forward)


def _both(guard: Guard, peer: CallersPeer, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
    """Of a method that takes a stream and answers with one."""
    name = full_name(method)
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = peer.channel.stream_stream(name)

    async def forward(raws: AsyncIterator[bytes], context: Context) -> None:
        async with Call(guard, name, context, guard.stream_seconds), peer.long(name):
            timeout = deadline.for_next_hop(guard.stream_seconds)
            answers = call(raws, metadata=_metadata(peer, context), timeout=timeout)
            await _hand_on(answers, peer, context)

    return grpc.stream_stream_rpc_method_handler(forward)


async def _hand_on(answers: Any, peer: CallersPeer, context: Context) -> None:
    """Writes what a stream gives, to its end."""
    try:
        async for answer in answers:
            await context.write(answer)
    except BaseException:
        peer.leave(answers)
        raise
    await peer.note_usage(answers)


def _metadata(peer: CallersPeer, context: Context) -> tuple[tuple[str, str], ...]:
    request_id = dict(context.invocation_metadata() or ()).get("x-request-id", "")
    mine = peer.metadata()
    return (*mine, ("x-request-id", str(request_id)[:100])) if request_id else mine
