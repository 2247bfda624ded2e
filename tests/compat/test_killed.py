"""letta-client programs while agent_service is killed: nothing that was said is lost, and no agent stays blocked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio
from letta_client import APIError, AsyncLetta, Letta
from letta_client.types.agents import Run

from tests.support.door import FIRST_KEY
from tests.support.processes import Service
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import environment
from tests.support.up import up

_SECONDS = 40
# What the retired server took at the least, alone on the machine.
_START_SECONDS = 20


@dataclass
class Processes:
    """The four services, of which a test kills agent_service and starts it again."""

    environ: dict[str, str]
    services: dict[str, Service]

    @property
    def url(self) -> str:
        return str(self.services["gateway"].addresses["http"])

    async def start_agent_service(self, failpoint: str = "") -> None:
        environ = self.environ | ({"TRIPTYCH_TEST_FAILPOINT": failpoint} if failpoint else {})
        self.services["agent_service"] = await asyncio.to_thread(Service, "agent_service", environ)

    async def killed_and_back(self) -> None:
        self.services["agent_service"].kill()
        await self.start_agent_service()

    async def all_killed_and_back(self) -> None:
        """The gateway too, which then is at another port."""
        for name in ("gateway", "agent_service"):
            self.services[name].kill()
        await self.start_agent_service()
        self.services["gateway"] = await asyncio.to_thread(Service, "gateway", self.environ)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, shared_model: ScriptedModel) -> Iterator[Processes]:
    environ = environment(tmp_path_factory.mktemp("killed"), shared_model.url)
    names = ("recall_service", "archival_service", "agent_service", "gateway")
    made = Processes(environ, {name: Service(name, environ) for name in names})
    yield made
    for service in made.services.values():
        service.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def letta(processes: Processes, model: ScriptedModel) -> AsyncIterator[AsyncLetta]:
    async with AsyncLetta(base_url=processes.url, api_key=FIRST_KEY, max_retries=0) as client:
        yield client


async def _said(letta: AsyncLetta, agent_id: str, count: int) -> list[str]:
    """What was said, when it is so much: a turn ends though recall has not yet acknowledged its messages."""

    async def said() -> list[str]:
        listed = [message async for message in letta.agents.messages.list(agent_id, order="asc")]
        return [str(getattr(each, "content", None) or each.message_type) for each in listed]

    return await eventually(said, lambda found: len(found) >= count, seconds=_SECONDS)


async def _completed(letta: AsyncLetta, agent_id: str, count: int) -> list[Run]:
    """The agent's runs, when so many of them are completed."""

    async def runs() -> list[Run]:
        return [run async for run in letta.runs.list(agent_id=agent_id, statuses=["completed"])]

    return await eventually(runs, lambda found: len(found) == count, seconds=_SECONDS)


async def test_a_message_is_kept_and_answered_though_the_server_died_in_its_first_model_call(
    letta: AsyncLetta, processes: Processes, model: ScriptedModel
) -> None:
    agent = await letta.agents.create(name="a")
    sending = asyncio.create_task(letta.agents.messages.create(agent.id, input="[[wait]] remember me"))
    assert await asyncio.to_thread(model.waiting.wait, _SECONDS)
    await processes.killed_and_back()
    with pytest.raises(APIError):
        await sending
    model.release()
    await _completed(letta, agent.id, 1)
    assert await _said(letta, agent.id, 2) == ["[[wait]] remember me", "ok: remember me"]


async def test_messages_that_were_acknowledged_in_the_background_are_all_answered_after_a_kill(
    letta: AsyncLetta, processes: Processes, model: ScriptedModel
) -> None:
    agent = await letta.agents.create(name="a")
    runs = [await letta.agents.messages.create_async(agent.id, input=text) for text in ("[[wait]] one", "two")]
    await processes.killed_and_back()
    model.release()
    assert {run.id for run in await _completed(letta, agent.id, 2)} == {run.id for run in runs}
    assert await _said(letta, agent.id, 4) == ["[[wait]] one", "ok: one", "two", "ok: two"]


@pytest.mark.parametrize("place", ["step:committed", "call:effect"])
async def test_a_crash_between_a_call_and_its_return_does_not_block_the_agent(
    letta: AsyncLetta, processes: Processes, model: ScriptedModel, place: str
) -> None:
    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": ""}])
    processes.services["agent_service"].kill()
    await processes.start_agent_service(f"{place}:n=1")
    call = '[[call:memory_insert {"label": "human", "new_string": "Ann"}]] note it'
    with pytest.raises(APIError):
        await letta.agents.messages.create(agent.id, input=call)
    assert processes.services["agent_service"].died(_SECONDS)
    await processes.start_agent_service()
    await _completed(letta, agent.id, 1)
    kinds = ["tool_call_message", "tool_return_message"]
    assert await _said(letta, agent.id, 4) == [call, *kinds, "ok: note it"]
    assert (await letta.agents.blocks.retrieve("human", agent_id=agent.id)).value.strip() == "Ann"
    reply = await letta.agents.messages.create(agent.id, input="still there?")
    assert [getattr(message, "content", None) for message in reply.messages] == ["ok: still there?"]
    pairs: list[Any] = [m for m in model.requests[-1]["messages"] if m.get("tool_calls") or m["role"] == "tool"]
    assert [message["role"] for message in pairs] == ["assistant", "tool"]


def test_it_starts_in_seconds_on_embedded_stores(tmp_path: Path, model: ScriptedModel) -> None:
    """By the CPU time of all its processes: how long that takes depends on what else the machine does."""
    with up(tmp_path, "--model-base-url", model.url) as running:
        family = [psutil.Process(running.process.pid), *(psutil.Process(pid) for pid in running.pids.values())]
        spent = sum(sum(process.cpu_times()[:2]) for process in family)
        assert spent < _START_SECONDS
        with Letta(base_url=running.ready["http_url"], api_key=running.ready["api_key"]) as letta:
            agent = letta.agents.create(name="a")
            assert letta.agents.messages.create(agent.id, input="hello").stop_reason.stop_reason == "end_turn"
    assert {each.name for each in tmp_path.glob("*.db")} == {"agent.db", "archival.db", "gateway.db", "recall.db"}


async def test_a_batch_is_finished_though_the_gateway_and_the_agents_were_killed(
    letta: AsyncLetta, processes: Processes, model: ScriptedModel
) -> None:
    agents = [await letta.agents.create(name=f"a{number}") for number in range(6)]
    requests = [{"agent_id": agent.id, "input": "[[wait]] hello"} for agent in agents]
    batch = await letta.post("/v1/messages/batches", cast_to=httpx.Response, body={"requests": requests})
    path = f"/v1/messages/batches/{batch.json()['id']}"

    async def shown(client: AsyncLetta = letta) -> dict[str, Any]:
        return (await client.get(path, cast_to=httpx.Response)).json()  # type: ignore[no-any-return]

    # Four run, and two have not begun.
    await eventually(shown, lambda found: found["metadata"]["running"] == 4)
    await processes.all_killed_and_back()
    model.release()
    async with AsyncLetta(base_url=processes.url, api_key=FIRST_KEY) as after:
        over = await eventually(lambda: shown(after), lambda found: bool(found["completed_at"]), seconds=_SECONDS)
        assert over["metadata"]["completed"] == 6
        for agent in agents:
            assert await _said(after, agent.id, 2) == ["[[wait]] hello", "ok: hello"]


async def test_a_round_that_was_cut_short_goes_on_when_its_message_is_sent_again(
    letta: AsyncLetta, processes: Processes, model: ScriptedModel
) -> None:
    agents = [await letta.agents.create(name=name) for name in ("ann", "bob")]
    body: dict[str, Any] = {"agent_ids": [agent.id for agent in agents], "description": "d"}
    path = f"/v1/groups/{(await letta.post('/v1/groups', cast_to=httpx.Response, body=body)).json()['id']}/messages"
    once: Any = {"headers": {"idempotency-key": "once"}}
    said: dict[str, Any] = {"input": "[[wait]] hello"}
    sending = asyncio.create_task(letta.post(path, cast_to=object, body=said, options=once))
    assert await asyncio.to_thread(model.waiting.wait, _SECONDS)
    await processes.all_killed_and_back()
    with pytest.raises(APIError):
        await sending
    model.release()
    async with AsyncLetta(base_url=processes.url, api_key=FIRST_KEY) as after:
        answer = (await after.post(path, cast_to=httpx.Response, body=said, options=once)).json()
        assert [(each["name"], each["content"]) for each in answer["messages"]] == [
            ("ann", "ok: hello"),
            ("bob", "ok: hello"),
        ]
        listed = (await after.get(path, cast_to=httpx.Response)).json()
        assert len(listed) == 3
