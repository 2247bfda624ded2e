"""Streams that are open and say nothing: what they hold in memory, and what they cost others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import httpx

from benchmarks.common import timed
from benchmarks.system import System
from triptych.agent.v1 import turn_pb2
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.gateway.v1.gateway_pb2_grpc import GatewayServiceStub

_AT_ONCE = 50
Kind = Callable[[System, str, int], AbstractAsyncContextManager[None]]


async def measured(system: System, http: httpx.AsyncClient, kind: Kind, streams: int, calls: int) -> str:
    """How much more memory all services take, and the p99 of another's calls beside none and beside all."""
    reader = await asyncio.to_thread(system.up.new_user, f"reader-of-{kind.__name__}")
    agent_id = (await http.post("/v1/agents/", json={"name": "another's"})).json()["id"]
    alone = await _reads(http, agent_id, calls)
    _, before = system.memory_mb()
    async with kind(system, reader, streams):
        _, after = system.memory_mb()
        beside = _p99(await _reads(http, agent_id, 2 * calls))
    # Half before and half behind, for what else the machine does changes.
    without = _p99(alone + await _reads(http, agent_id, calls))
    ratio = beside / without
    return f"{after - before:.0f} MB more (PSS)\nothers' p99 {without:.1f} → {beside:.1f} ms, ratio {ratio:.2f}"


@asynccontextmanager
async def sse(system: System, key: str, streams: int) -> AsyncIterator[None]:
    """All follow one run, whose model does not answer."""
    headers, limits = {"authorization": f"Bearer {key}"}, httpx.Limits(max_connections=streams + 10)
    async with AsyncExitStack() as stack:
        client = httpx.AsyncClient(base_url=system.up.ready["http_url"], headers=headers, limits=limits, timeout=60)
        http = await stack.enter_async_context(client)
        agent = {"name": "waits", "model": "waits-3600"}
        agent_id = (await http.post("/v1/agents/", json=agent)).json()["id"]
        said = {"messages": [{"role": "user", "content": "hello"}]}
        run = (await http.post(f"/v1/agents/{agent_id}/messages/async", json=said)).json()
        limit = asyncio.Semaphore(_AT_ONCE)
        # An iterator that nobody has any more would close its connection.
        followed: list[AsyncIterator[bytes]] = []

        async def follow() -> None:
            async with limit:
                stream = http.stream("POST", f"/v1/runs/{run['id']}/stream", json={"starting_after": 0})
                response = await stack.enter_async_context(stream)
                response.raise_for_status()
                followed.append(response.aiter_bytes())
                await anext(followed[-1])

        await asyncio.gather(*(follow() for _ in range(streams)))
        yield
        assert (await http.get(f"/v1/runs/{run['id']}")).json()["status"] == "running", "the streams did not stay open"
        await http.post(f"/v1/agents/{agent_id}/messages/cancel")


@asynccontextmanager
async def sessions(system: System, key: str, streams: int) -> AsyncIterator[None]:
    """Open, with a call made and ended in each, so that both ends have what they need of it."""
    async with grpc.aio.insecure_channel(system.up.ready["grpc_address"]) as channel:
        stub = GatewayServiceStub(channel)
        limit = asyncio.Semaphore(_AT_ONCE)
        metadata = (("authorization", f"Bearer {key}"),)
        nobodys = turn_pb2.ResumeTurnRequest(turn_id="turn-of-nobody")

        async def opened() -> Any:
            async with limit:
                stream = stub.Session(metadata=metadata)
                await stream.write(pb.SessionRequest(call_id="1", resume=nobodys))
                ended: Any = await stream.read()
                assert ended.HasField("end"), ended
                return stream

        held = await asyncio.gather(*(opened() for _ in range(streams)))
        yield
        for stream in held:
            stream.cancel()


async def _reads(http: httpx.AsyncClient, agent_id: str, calls: int) -> list[float]:
    """Milliseconds of each, one after another."""
    return [await timed(lambda: http.get(f"/v1/agents/{agent_id}")) for _ in range(calls)]


def _p99(took: list[float]) -> float:
    return sorted(took)[int(0.99 * len(took))]


KINDS: dict[str, Kind] = {"SSE streams": sse, "Session streams": sessions}
