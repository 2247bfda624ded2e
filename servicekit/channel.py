"""Calls to another service: signed principal, deadline, retries, errors of our own tree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

import grpc
import structlog

from servicekit import deadline, principal
from servicekit.metering import Meter
from servicekit.principal import Principal, Signer, Tenant
from triptych.errors import from_rpc_error

Request = TypeVar("Request")
Response = TypeVar("Response")

_log = structlog.get_logger("channel")
_END_SECONDS = 0.25
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# An answer may be a page of many requests' worth, so what is read is bounded more loosely than what is accepted.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024

# Every write carries a request_id, so whatever failed before it arrived can be sent again.
_RETRIED = {
    "name": [{}],
    "waitForReady": True,
    "retryPolicy": {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "1s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    },
}


def _service_config(*methods: dict[str, Any]) -> tuple[str, str]:
    config = {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": methods}
    return "grpc.service_config", json.dumps(config)


_LIMITS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
)
CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (_service_config(_RETRIED), *_LIMITS)
# For streams that last, whose caller tries again itself: gRPC would keep 7 KB by each for trying again.
LASTING_OPTIONS: tuple[tuple[str, Any], ...] = (*CHANNEL_OPTIONS, ("grpc.enable_retries", 0))
# For a call whose caller would rather look elsewhere than wait.
IMPATIENT_OPTIONS: tuple[tuple[str, Any], ...] = (_service_config(), *_LIMITS)


class Peer:
    """A service that this one calls. `audience`: its name, for which the principal is signed.

    `meter`: where what it says its callers have used is reported. `options`: how patient the channel is.
    """

    def __init__(
        self,
        audience: str,
        address: str,
        signer: Signer,
        meter: Meter | None = None,
        options: tuple[tuple[str, Any], ...] = CHANNEL_OPTIONS,
    ) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=options)
        self._audience = audience
        self._signer = signer
        self._meter = meter
        self._leaving: set[asyncio.Task[None]] = set()

    async def unary(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        caller: Principal | None = None,
        seconds: float = 30.0,
    ) -> Response:
        """Calls a stub's method as `caller` (default: the RPC's own), within what is left of the deadline.

        Raises: the TriptychError that the service raised; Unavailable, DeadlineExceeded.
        """
        call = method(request, metadata=self.metadata(caller), timeout=deadline.for_next_hop(seconds))
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        await self.note_usage(call, caller)
        return response

    async def stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        *,
        caller: Principal | None = None,
        seconds: float = 3600.0,
    ) -> AsyncGenerator[Response]:
        """The same for a method that answers with a stream; leaving the loop cancels the call."""
        call = method(request, metadata=self.metadata(caller), timeout=deadline.for_next_hop(seconds))
        ended = False
        try:
            async for response in call:
                yield response
            ended = True
            await self.note_usage(call, caller)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            if not ended:
                self.leave(call, caller)

    async def exchange(
        self,
        method: grpc.aio.StreamStreamMultiCallable[Request, Response],
        requests: AsyncIterator[Request],
        *,
        caller: Principal | None = None,
        seconds: float = 3600.0,
    ) -> AsyncGenerator[Response]:
        """The same for a method that takes a stream too."""
        call = method(requests, metadata=self.metadata(caller), timeout=deadline.for_next_hop(seconds))
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            self.leave(call, caller)

    def metadata(self, caller: Principal | None = None) -> tuple[tuple[str, str], ...]:
        """What a call carries: the signed principal."""
        return ((principal.METADATA_KEY, self._signer.token(caller or principal.current(), self._audience)),)

    async def note_usage(self, call: grpc.aio.Call, caller: Principal | None = None) -> None:
        """Reports what a call that has ended says its caller has used."""
        if self._meter is not None and (metadata := await call.trailing_metadata()):
            self.note(metadata, (caller or principal.current()).tenant)

    def note(self, metadata: grpc.aio.Metadata, tenant: Tenant) -> None:
        """What a call's trailing metadata says of its caller."""
        if self._meter is not None:
            self._meter.add(tenant, metadata)

    def leave(self, call: Any, caller: Principal | None = None) -> None:
        """Ends a stream that nobody reads any more.

        One that is at its end gets a moment to say what was used: a reader may stop at the last thing it needs.
        """
        if self._meter is None:
            call.cancel()
            return
        task = asyncio.get_running_loop().create_task(self._leave(call, caller or principal.current()))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, call: Any, caller: Principal) -> None:
        try:
            async with asyncio.timeout(_END_SECONDS):
                async for _ in call:
                    pass
                await self.note_usage(call, caller)
        except (TimeoutError, grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            _log.debug("a stream was left")
        finally:
            call.cancel()

    async def close(self) -> None:
        await self.channel.close()
