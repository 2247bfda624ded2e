"""The guard around every RPC. In this order: authenticate, deadline, decode, handle, encode; errors mapped outermost.

Handlers are registered without gRPC's own (de)serializers: grpc.aio decodes before any interceptor runs, so hostile
bytes would come back as INTERNAL. Here they are INVALID_ARGUMENT like any other bad input.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from servicekit import deadline, logs, metering, principal, resources, scopes
from servicekit.metering import Meter
from servicekit.watch import Watch
from triptych.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    TriptychError,
    from_rpc_error,
)
from triptych.type.v1 import type_pb2

_log = structlog.get_logger("rpc")

Metadata = Mapping[str, str | bytes]
# Given the call's metadata and its full method name; raises Unauthenticated or PermissionDenied.
Authenticate = Callable[[Metadata, str], Awaitable[principal.Principal]]
Context = grpc.aio.ServicerContext[Any, Any]
# Is told a call's full method name, its status code's name, and how many seconds it took.
Timed = Callable[[str, str, float], None]


@dataclass(frozen=True)
class Guard:
    """`unary_seconds`, `stream_seconds`: the longest an RPC may take, whatever its caller allows.

    `meter`: what the end of each call hands to its caller. `ended`: is told each call's method, code and resources.
    `timed`: is told how long each took. `recheck`: is asked while a stream lasts whether its caller still may.
    """

    authenticate: Authenticate
    unary_seconds: float = 60.0
    stream_seconds: float = 3600.0
    meter: Meter | None = None
    ended: Callable[[str, str, Sequence[str]], None] | None = None
    timed: Timed | None = None
    recheck: Authenticate | None = None

    def handler(self, service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
        """The generic handler that serves every method of `service` from the servicer's method of the same name.

        A method that takes a stream has to answer with one too.
        """
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in service.methods:
            call = getattr(servicer, method.name)
            if method.client_streaming:
                methods[method.name] = grpc.stream_stream_rpc_method_handler(self._both(method, call))
            elif method.server_streaming:
                methods[method.name] = grpc.unary_stream_rpc_method_handler(self._stream(method, call))
            else:
                methods[method.name] = grpc.unary_unary_rpc_method_handler(self._unary(method, call))
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _unary(self, method: MethodDescriptor, call: Callable[..., Awaitable[Message]]) -> Callable[..., Any]:
        name, decode = full_name(method), _decoder(method)

        async def guarded(raw: bytes, context: Context) -> bytes:
            async with Call(self, name, context, self.unary_seconds) as around:
                request = decode(raw)
                around.touch(request)
                response = await call(request, context)
                around.touch(response)
                return response.SerializeToString()
            raise AssertionError("the call was aborted")

        return guarded

    def _stream(self, method: MethodDescriptor, call: Callable[..., AsyncIterator[Message]]) -> Callable[..., Any]:
        name, decode = full_name(method), _decoder(method)

        async def guarded(raw: bytes, context: Context) -> None:
            async with Call(self, name, context, self.stream_seconds) as around:
                request = decode(raw)
                around.touch(request)
                async for response in call(request, context):
                    await context.write(response.SerializeToString())

        return guarded

    def _both(
        self, method: MethodDescriptor, call: Callable[..., AsyncIterator[Message | bytes]]
    ) -> Callable[..., Any]:
        """`call` may answer with bytes: what is forwarded, and encoded already."""
        name, decode = full_name(method), _decoder(method)

        async def guarded(raws: AsyncIterator[bytes], context: Context) -> None:
            async with Call(self, name, context, self.stream_seconds):
                async for response in call((decode(raw) async for raw in raws), context):
                    await context.write(response if isinstance(response, bytes) else response.SerializeToString())

        return guarded


def full_name(method: MethodDescriptor) -> str:
    """`/triptych.recall.v1.RecallService/ListMessages`."""
    return f"/{method.containing_service.full_name}/{method.name}"


def _decoder(method: MethodDescriptor) -> Callable[[bytes], Message]:
    request_type = message_factory.GetMessageClass(method.input_type)

    def decode(raw: bytes) -> Message:
        try:
            return request_type.FromString(raw)
        except DecodeError:
            raise InvalidArgument(
                f"the request is not a {method.input_type.full_name}",
                reason=type_pb2.ERROR_REASON_MALFORMED_REQUEST,
            ) from None

    return decode


class Call:
    """What surrounds the serving of one RPC: entering authenticates it, leaving answers errors and logs one line."""

    def __init__(self, guard: Guard, name: str, context: Context, cap_seconds: float) -> None:
        self._guard, self._name, self._context = guard, name, context
        self._started = time.perf_counter()
        self._request_id = ""
        left = context.time_remaining()
        self._seconds = cap_seconds if left is None else min(left, cap_seconds)
        self._timeout = asyncio.timeout(self._seconds)
        self._lasts = cap_seconds > guard.unary_seconds
        self._watch: Watch | None = None
        self._resources: dict[str, None] = {}

    def touch(self, message: Message) -> None:
        """Notes which resources a write names."""
        if not scopes.reads(self._name) and len(self._resources) < resources.MOST:
            self._resources.update(dict.fromkeys(resources.named(message)))

    async def __aenter__(self) -> Call:
        await self._timeout.__aenter__()
        try:
            metadata = dict(self._context.invocation_metadata() or ())
            self._request_id = str(metadata.get("x-request-id", ""))[:100]
            deadline.bind(self._seconds)
            principal.bind(await self._guard.authenticate(metadata, self._name))
            metering.bind(self._guard.meter)
            recheck = self._guard.recheck
            if recheck is not None and self._lasts:
                self._watch = Watch(lambda: recheck(metadata, self._name))
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as timeout:
            error = timeout
        if self._watch is not None:
            error = self._watch.settle(error)
            self._watch = None  # it refers to this: all that the call had would wait for the collector
        if isinstance(error, (asyncio.CancelledError, grpc.aio.AbortError)):
            self._log("CANCELLED")
            return
        used = self._used()
        if error is None:
            self._log("OK")
            if used:
                self._context.set_trailing_metadata(used)
            return
        mapped = to_error(error)
        self._log(mapped.code.name, reason=mapped.reason_name)
        await abort(self._context, mapped, used)

    def _used(self) -> tuple[tuple[str, str], ...]:
        """What the call's end hands to its caller: what was used, and which resources a write named."""
        if self._guard.meter is None:
            return ()
        try:
            used = self._guard.meter.take(principal.tenant())
        except TriptychError:  # nobody was authenticated
            return ()
        touched = list(self._resources)[: resources.MOST]
        return (*used, (resources.METADATA_KEY, ",".join(touched))) if touched else used

    def _log(self, code: str, **more: str) -> None:
        try:
            tenant = logs.hashed(principal.tenant())
        except TriptychError:
            tenant = ""
        seconds = time.perf_counter() - self._started
        _log.info(
            "rpc",
            method=self._name,
            code=code,
            ms=round(1e3 * seconds, 2),
            request_id=self._request_id,
            tenant=tenant,
            **more,
        )
        if self._guard.ended is not None:
            self._guard.ended(self._name, code, list(self._resources))
        if self._guard.timed is not None:
            self._guard.timed(self._name, code, seconds)


def to_error(error: BaseException) -> TriptychError:
    """Any exception as one of the tree. An unexpected one becomes Internal with an id; the log has the rest."""
    if isinstance(error, TriptychError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc_error(error)
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("the call took longer than it may")
    if isinstance(error, asyncio.CancelledError):
        return Cancelled("the call was cancelled")
    incident = uuid.uuid4().hex[:12]
    _log.error("unexpected", incident=incident, exc_info=error)
    return Internal(f"internal error, incident {incident}", metadata={"incident": incident})


async def abort(context: Context, error: TriptychError, more: tuple[tuple[str, str], ...] = ()) -> None:
    """Ends the RPC with the error's status and its ErrorInfo. `more`: further trailing metadata. Always raises."""
    status = error.to_status()
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()), *more))
    await context.abort(error.code, status.message)
