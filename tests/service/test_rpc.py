"""The guard around every RPC, a server's drain, and calls between services, over real gRPC."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit import deadline, principal
from servicekit.channel import Peer
from servicekit.principal import Principal
from servicekit.rpc import Guard
from servicekit.server import GrpcServer, PortInUse, signed_principal
from tests.support.keys import ANN, signer, verifier
from triptych.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TriptychError,
    Unauthenticated,
)
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2

SERVICE = recall_pb2.DESCRIPTOR.services_by_name["RecallService"]
Handler = Callable[[Any, Any], Awaitable[Any]]


class Servicer:
    """All of recall's methods do what the test says."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __getattr__(self, name: str) -> Handler:
        return self._handler


class World:
    def __init__(self, folder: Path, handler: Handler, **guard: float) -> None:
        self._folder = folder
        authenticate = signed_principal(verifier(folder, "recall_service"))
        handlers = [Guard(authenticate, **guard).handler(SERVICE, Servicer(handler))]
        self.server = GrpcServer(handlers, [SERVICE.full_name], reflection=False)

    async def start(self) -> None:
        self.address = await self.server.start("127.0.0.1:0")
        self.peer = Peer("recall_service", self.address, signer(self._folder))
        self.stub = RecallServiceStub(self.peer.channel)

    async def call(self, caller: Principal = ANN, **more: Any) -> recall_pb2.CountMessagesResponse:
        return await self.peer.unary(self.stub.CountMessages, recall_pb2.CountMessagesRequest(), caller=caller, **more)


@contextlib.asynccontextmanager
async def serving(folder: Path, handler: Handler, **guard: float) -> AsyncIterator[World]:
    world = World(folder, handler, **guard)
    await world.start()
    yield world
    await world.peer.close()
    await world.server.stop(0)


def raising(error: Exception) -> Handler:
    async def handler(_request: Any, _context: Any) -> Any:
        raise error

    return handler


async def test_the_caller_is_who_the_token_says(tmp_path: Path) -> None:
    async def handler(_request: Any, _context: Any) -> recall_pb2.CountMessagesResponse:
        assert principal.current() == ANN
        return recall_pb2.CountMessagesResponse(count=7)

    async with serving(tmp_path, handler) as world:
        assert (await world.call()).count == 7


@pytest.mark.parametrize("metadata", [(), (("triptych-principal", "x.y.z"),), (("authorization", "Bearer x"),)])
async def test_no_principal_or_a_forged_one_is_unauthenticated(
    tmp_path: Path, metadata: tuple[tuple[str, str], ...]
) -> None:
    async with serving(tmp_path, raising(AssertionError("reached"))) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stub.CountMessages(recall_pb2.CountMessagesRequest(), metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_hostile_bytes_are_refused_before_the_handler(tmp_path: Path) -> None:
    async with serving(tmp_path, raising(AssertionError("reached"))) as world:
        call: Any = world.peer.channel.unary_unary(f"/{SERVICE.full_name}/CountMessages")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff", metadata=world.peer.metadata(ANN))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "error",
    [
        NotFound("agent", "agent-1"),
        InvalidArgument.of("field", "wrong"),
        ResourceExhausted("full", metadata={"limit": "5"}),
        Unauthenticated("no"),
    ],
)
async def test_errors_arrive_as_they_were_raised(tmp_path: Path, error: TriptychError) -> None:
    async with serving(tmp_path, raising(error)) as world:
        with pytest.raises(type(error)) as caught:
            await world.call()
    assert (caught.value.message, caught.value.reason, caught.value.metadata) == (
        error.message,
        error.reason,
        error.metadata,
    )


async def test_an_unexpected_error_tells_the_caller_an_incident_and_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path, raising(KeyError("Pavarotti"))) as world:
        with structlog.testing.capture_logs() as logs, pytest.raises(Internal) as caught:
            await world.call()
    incident = caught.value.metadata["incident"]
    assert "Pavarotti" not in caught.value.message
    assert incident in caught.value.message
    assert any(line.get("incident") == incident for line in logs)


async def test_a_call_is_ended_at_the_services_own_limit(tmp_path: Path) -> None:
    async def handler(_request: Any, _context: Any) -> Any:
        await asyncio.Event().wait()

    async with serving(tmp_path, handler, unary_seconds=0.1) as world:
        with pytest.raises(DeadlineExceeded):
            await world.call(seconds=20)


async def test_the_next_hop_gets_what_is_left_less_a_reserve(tmp_path: Path) -> None:
    left: list[float] = []

    async def handler(_request: Any, _context: Any) -> recall_pb2.CountMessagesResponse:
        left.append(deadline.for_next_hop(1000))
        return recall_pb2.CountMessagesResponse()

    async with serving(tmp_path, handler) as world:
        await world.call(seconds=5)
    # gRPC rounds what is left up, by less than half of the reserve.
    assert 3 < left[0] < 5 - deadline.RESERVE_SECONDS / 2


async def test_a_request_over_the_limit_is_resource_exhausted(tmp_path: Path) -> None:
    async with serving(tmp_path, raising(AssertionError("reached"))) as world:
        request = recall_pb2.CountMessagesRequest(agent_id="x" * (4 * 1024 * 1024))
        with pytest.raises(ResourceExhausted):
            await world.peer.unary(world.stub.CountMessages, request, caller=ANN)


async def test_leaving_a_call_cancels_its_handler(tmp_path: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(_request: Any, _context: Any) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(tmp_path, handler) as world:
        calling = asyncio.create_task(world.call())
        await began.wait()
        calling.cancel()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_draining_server_says_so_and_finishes_what_it_has_begun(tmp_path: Path) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def handler(_request: Any, _context: Any) -> recall_pb2.CountMessagesResponse:
        began.set()
        await go_on.wait()
        return recall_pb2.CountMessagesResponse(count=1)

    async with serving(tmp_path, handler) as world:
        health = health_pb2_grpc.HealthStub(world.peer.channel)
        watching: Any = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE.full_name))
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        calling = asyncio.create_task(world.call())
        await began.wait()
        stopping = asyncio.create_task(world.server.stop(20))
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watching.cancel()
        go_on.set()
        assert (await calling).count == 1
        await stopping


async def test_a_call_is_sent_again_when_the_server_comes_back(tmp_path: Path) -> None:
    async def handler(_request: Any, _context: Any) -> recall_pb2.CountMessagesResponse:
        return recall_pb2.CountMessagesResponse(count=2)

    async with serving(tmp_path, handler) as world:
        await world.server.stop(0)
        calling = asyncio.create_task(world.call(seconds=20))
        again = World(tmp_path, handler)
        await again.server.start(world.address)
        assert (await calling).count == 2
        await again.server.stop(0)


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    async with serving(tmp_path, raising(NotFound("x"))) as world:
        with pytest.raises(PortInUse, match=world.address):
            await World(tmp_path, raising(NotFound("x"))).server.start(world.address)


def test_the_reasons_of_the_contract_are_all_documented() -> None:
    source = (Path(__file__).parents[2] / "protos/triptych/type/v1/type.proto").read_text()
    for name in type_pb2.ErrorReason.keys()[1:]:
        line = source[: source.index(name)].rstrip().splitlines()[-1]
        assert line.strip().startswith("//"), f"{name} has no comment"
