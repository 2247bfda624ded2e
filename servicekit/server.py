"""Starts a gRPC service, says when it is ready, and stops it without dropping what it has accepted."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from servicekit import rpc, scopes
from servicekit.channel import MAX_MESSAGE_BYTES, MAX_RESPONSE_BYTES
from servicekit.principal import METADATA_KEY, Principal, Verifier
from servicekit.sql import StoreError
from triptych.environment import BadEnvironment
from triptych.errors import Unauthenticated

_log = structlog.get_logger("server")

_OPTIONS: tuple[tuple[str, Any], ...] = (
    # A little above what we accept, so that the guard or the service can say which limit was met.
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a coin toss between two servers
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
# So many new objects and the collector looks among them; Python's 700 are there after a fraction of a call.
_NEW_OBJECTS = 5_000
# A store's thread lets go of Python's global lock with every statement, and while the loop is busy waits so long to
# have it back. With Python's 5 ms, transactions of busy services take a tenth of a second, and all turns wait for them.
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class Tls:
    """A certificate (with its chain) and its key, as PEM files."""

    certificate: Path
    key: Path

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials([(self.key.read_bytes(), self.certificate.read_bytes())])


class PortInUse(RuntimeError):
    """The address can't be bound. The message names it."""


def signed_principal(verifier: Verifier) -> rpc.Authenticate:
    """How the tiers authenticate: by the signed principal that the gateway or agent_service sends."""

    async def authenticate(metadata: rpc.Metadata, method: str) -> Principal:
        token = metadata.get(METADATA_KEY)
        if token is None:
            raise Unauthenticated("the call carries no signed principal")
        caller = verifier.verify(token)
        scopes.check(caller, method)
        return caller

    return authenticate


class GrpcServer:
    """A gRPC server with health checking, and reflection if asked for."""

    def __init__(
        self, handlers: Sequence[grpc.GenericRpcHandler], services: Sequence[str], *, reflection: bool
    ) -> None:
        self._server = grpc.aio.server(options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self._services = list(services)
        if reflection:
            from grpc_reflection.v1alpha import reflection as grpc_reflection

            names = [*services, health.SERVICE_NAME, grpc_reflection.SERVICE_NAME]
            grpc_reflection.enable_server_reflection(names, self._server)

    async def start(self, listen: str, tls: Tls | None = None) -> str:
        """Binds and serves; gives the address with its real port. Raises: PortInUse."""
        try:
            if tls is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, tls.credentials())
        except RuntimeError:
            port = 0
        if port == 0:
            raise PortInUse(f"can't listen on {listen}: the port is in use, or the address is not this machine's")
        await self._server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    async def stop(self, grace_seconds: float) -> None:
        """NOT_SERVING first, then no new calls, then those under way for `grace_seconds`."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_seconds)

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        for name in ("", *self._services):
            await self._health.set(name, status)


def announce(service: str, **addresses: str) -> None:
    """Says on stdout, as one line of JSON, that the service is ready and where. Everything else goes to stderr."""
    print(json.dumps({"service": service, **addresses}), flush=True)


Main = Callable[[asyncio.Event, AsyncExitStack], Awaitable[None]]


def run(service: str, main: Main) -> NoReturn:
    """Runs `main(stop, stack)` until SIGTERM, SIGINT or (with --supervised) the end of stdin, then exits.

    `main` starts things, pushes how to stop them onto the stack, announces itself and returns; the stack is unwound
    after the stop. A set-up that can't work ends with one line on stderr and code 2.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        _with_loop(_run(main))
    except (BadEnvironment, StoreError, PortInUse) as error:
        print(f"{service}: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def _with_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not on every platform, and only a matter of speed
        asyncio.run(coroutine)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


async def _run(main: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if "--supervised" in sys.argv[1:]:
        os.set_blocking(sys.stdin.fileno(), False)
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_stdin, loop, stop)
    async with AsyncExitStack() as stack:
        await main(stop, stack)
        _calm_collector()
        await stop.wait()
        _log.info("stopping")


def _calm_collector() -> None:
    """What a service is made of stays until its end: the collector need not go through it again and again."""
    gc.collect()
    _give_back()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)


def _give_back() -> None:
    """Returns to the system what starting took and no longer needs, where C's library can (glibc: 5 to 15 MB)."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """The supervisor holds the other end of the pipe: when it dies, however it dies, we stop too."""
    if os.read(sys.stdin.fileno(), 1024) == b"":
        loop.remove_reader(sys.stdin.fileno())
        stop.set()
