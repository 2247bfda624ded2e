"""`triptych up` on a temporary folder, and a client of it that costs little itself."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil

from servicekit.channel import CHANNEL_OPTIONS, Peer
from servicekit.principal import Principal, Tenant
from tests.support.keys import signer
from tests.support.up import Up
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.gateway.v1 import gateway_pb2
from triptych.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2

SERVICES = ("gateway", "agent_service", "recall_service", "archival_service")
_BATCH = 1_000
_AT_ONCE = 16

Metadata = tuple[tuple[str, str], ...]


class Door:
    """Where agent_service is called: by the gateway, or past it."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Callable[[], Metadata]) -> None:
        self._agents, self._turns, self._metadata = AgentServiceStub(channel), TurnServiceStub(channel), metadata

    async def read(self, agent_id: str) -> None:
        await self._agents.GetAgent(agent_pb2.GetAgentRequest(agent_id=agent_id), metadata=self._metadata(), timeout=60)

    async def turn(self, agent_id: str, text: str, *, deltas: bool = False) -> float:
        """Runs a turn to its end. With `deltas`: milliseconds until the first piece of text was here."""
        request = turn_pb2.StartTurnRequest(
            agent_id=agent_id,
            request_id=str(uuid.uuid4()),
            messages=[turn_pb2.InputMessage(text=text)],
            deltas=deltas,
        )
        began, first = time.perf_counter(), 0.0
        async for response in self._turns.StartTurn(request, metadata=self._metadata(), timeout=120):
            kind = response.event.WhichOneof("event")
            if kind == "text_delta" and not first:
                first = 1e3 * (time.perf_counter() - began)
            done = response.event.done.turn if kind == "done" else None
        assert done is not None
        assert done.state == turn_pb2.TURN_STATE_COMPLETED, done.error
        return first


class System:
    """`gateway` and `direct` (agent_service): doors. `user`: whose `key` it is, and whose the agents are."""

    def __init__(self, up: Up, key: str, user: Principal) -> None:
        self.up, self.key = up, key
        self.processes = {name: psutil.Process(pid) for name, pid in up.pids.items()}
        keys = signer(up.data / "keys")
        self._environ = self.processes["agent_service"].environ()
        self._agent = Peer("agent_service", self._environ["TRIPTYCH_AGENT_LISTEN"], keys)
        self._recall = Peer("recall_service", self._environ["TRIPTYCH_RECALL_ADDRESS"], keys)
        self._front = grpc.aio.insecure_channel(up.ready["grpc_address"], options=CHANNEL_OPTIONS)
        self._user = user
        self.gateway = Door(self._front, lambda: (("authorization", f"Bearer {key}"),))
        self.direct = Door(self._agent.channel, lambda: self._agent.metadata(user))
        self._agents, self._messages = AgentServiceStub(self._agent.channel), RecallServiceStub(self._recall.channel)

    @property
    def recall_channel(self) -> grpc.aio.Channel:
        return self._recall.channel

    async def new_agents(self, count: int, *, model: str = "", window: int = 0) -> list[agent_pb2.Agent]:
        """Agents with two blocks and the usual tools."""
        blocks = [
            agent_pb2.Block(label="human", value="Name: Ann. Likes quince."),
            agent_pb2.Block(label="persona", value="I am a helpful assistant."),
        ]
        wanted = agent_pb2.Agent(model=agent_pb2.ModelSettings(handle=model, context_window=window), blocks=blocks)

        async def one() -> agent_pb2.Agent:
            request = agent_pb2.CreateAgentRequest(agent=wanted, include_base_tools=True)
            return (await self._agent.unary(self._agents.CreateAgent, request, caller=self._user)).agent

        return await at_once((one for _ in range(count)), _AT_ONCE)

    async def fill(self, agent: agent_pb2.Agent, messages: int) -> None:
        """Puts a history into recall: a message of the user's and an answer a turn, and waits for its embedding."""
        for first in range(0, messages, _BATCH):
            made = [
                recall_pb2.Message(
                    text=f"What was said as number {number}, of this and that, and of how the weather was on that day",
                    role=type_pb2.ROLE_ASSISTANT if number % 2 else type_pb2.ROLE_USER,
                    turn_id=f"run-{number // 2}",
                )
                for number in range(first, min(first + _BATCH, messages))
            ]
            request = recall_pb2.AppendMessagesRequest(
                agent_id=agent.id,
                conversation_id=agent.default_conversation_id,
                request_id=str(uuid.uuid4()),
                messages=made,
            )
            await self._recall.unary(self._messages.AppendMessages, request, caller=self._user, seconds=60)

    async def idle(self) -> None:
        """Returns when the services rest: what goes on behind the turns, as embedding, is done."""
        while True:
            before = self.cpu_seconds()
            await asyncio.sleep(0.5)
            if sum(self.cpu_seconds().values()) - sum(before.values()) < 0.03:
                return

    def cpu_seconds(self) -> dict[str, float]:
        """Used so far by each service and its children."""
        return {name: _cpu(process) for name, process in self.processes.items()}

    def memory_mb(self) -> tuple[float, float]:
        """Of all services: RSS, and PSS (what they share counted once), in MB."""
        full = [process.memory_full_info() for process in self.processes.values()]
        return sum(each.rss for each in full) / 1e6, sum(each.pss for each in full) / 1e6

    async def close(self) -> None:
        await self._agent.close()
        await self._recall.close()
        await self._front.close()


@asynccontextmanager
async def running(folder: Path, model_url: str, **settings: str) -> AsyncIterator[System]:
    """Starts it as a user would, with these `settings` (TRIPTYCH_…); stops it behind."""
    up = await asyncio.to_thread(Up, folder, "--model-base-url", model_url, "--model", "instant", environ=settings)
    try:
        key = up.ready["api_key"]
        async with grpc.aio.insecure_channel(up.ready["grpc_address"]) as channel:
            me = await GatewayServiceStub(channel).WhoAmI(
                gateway_pb2.WhoAmIRequest(), metadata=(("authorization", f"Bearer {key}"),)
            )
        system = System(up, key, Principal(Tenant(me.account_id, me.user.id)))
        yield system
        await system.close()
    finally:
        await asyncio.to_thread(up.stop)


async def at_once(calls: Iterable[Callable[[], Awaitable[Any]]], callers: int) -> list[Any]:
    """The results of all calls, so many of them under way at a time, in the order in which they came."""
    waiting, results = iter(calls), []

    async def caller() -> None:
        for call in waiting:
            results.append(await call())

    await asyncio.gather(*(caller() for _ in range(callers)))
    return results


def _cpu(process: psutil.Process) -> float:
    times: Sequence[float] = process.cpu_times()
    return sum(times[:4])
