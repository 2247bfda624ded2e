"""The SDK while the gateway is killed and comes back: streams go on where they were, writes have one effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.door import FIRST_KEY
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych import AsyncTriptych
from triptych.agent.v1.agent_pb2 import Agent
from triptych.agent.v1.turn_pb2 import TurnEvent


class Gateway:
    """A process that the test kills and starts again at the same address."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ
        self.process = processes.Service("gateway", environ)

    @property
    def address(self) -> str:
        return self._environ["TRIPTYCH_GATEWAY_GRPC_LISTEN"]

    async def killed_and_back(self) -> None:
        self.process.kill()
        self.process = await asyncio.to_thread(processes.Service, "gateway", self._environ)


@pytest.fixture
async def gateway(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[Gateway]:
    async with running(tmp_path, "recall_service", "archival_service", "agent_service", model_url=model.url) as stack:
        started = Gateway(stack.environ)
        yield started
        started.process.kill()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncTriptych]:
    async with AsyncTriptych(gateway.address, FIRST_KEY) as opened:
        yield opened


@pytest.fixture
async def agent(client: AsyncTriptych) -> Agent:
    return await client.agents.create("ann")


@pytest.mark.parametrize("way", ["turns", "session", "guest", "group"])
async def test_a_stream_goes_on_where_it_was_when_the_gateway_was_killed(
    gateway: Gateway, client: AsyncTriptych, agent: Agent, model: ScriptedModel, way: str
) -> None:
    if way == "guest":
        await client.shares.create(agent.id, (await client.users.create("bob")).id)
    bobs_key = (await client.keys.create("bob")).secret if way == "guest" else FIRST_KEY
    async with AsyncTriptych(gateway.address, bobs_key) as bob, client.session() as session:
        group = await client.groups.create([agent.id])
        turns = {"turns": client.turns, "session": session, "guest": bob.shared_agents, "group": client.groups}[way]
        events: list[TurnEvent] = []
        text = '[[call:conversation_search {"query": "tea"}]][[wait:1]] hello'
        async for event in turns.stream(group.id if way == "group" else agent.id, text):
            events.append(event)
            # What tools do is not a guest's to see.
            if event.HasField("accepted" if way == "guest" else "tool_result"):
                assert await asyncio.to_thread(model.waiting.wait, 20)
                await gateway.killed_and_back()
                model.release()
    kept = [event.sequence for event in events if event.sequence]
    assert kept == (sorted(set(kept)) if way == "guest" else list(range(1, len(kept) + 1)))
    assert events[-1].HasField("done")
    assert "ok: hello" in [event.message.text for event in events]
    assert [m.text async for m in client.recall.list(agent.id) if m.text == "ok: hello"] == ["ok: hello"]


async def test_a_write_that_meets_a_gateway_on_its_way_up_is_sent_again(
    gateway: Gateway, client: AsyncTriptych, agent: Agent
) -> None:
    gateway.process.kill()
    writing = asyncio.create_task(client.agents.create("ben", request_id="r"))
    back = asyncio.create_task(gateway.killed_and_back())
    made = await writing
    await back
    assert (await client.agents.create("ben", request_id="r")).id == made.id
    assert [each.name async for each in client.agents.list(name="ben")] == ["ben"]
