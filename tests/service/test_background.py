"""What goes on behind the calls: a failure that nobody foresaw ends none of it, and one user's holds up no other's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent_service import cleanup, sleeptime, thinning
from agent_service.replicas import presence
from agent_service.turns.engine import TurnEngine
from gateway.periodic import Periodic
from tests.service.test_agent_service import World
from tests.support.keys import ANN
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.recall.v1 import recall_pb2

SERVICES = ("recall_service", "archival_service", "agent_service")


class Failing:
    """Does what it stands for, but for the second and third time: then it fails with what is no error of ours."""

    def __init__(self, real: Callable[..., Awaitable[Any]]) -> None:
        self._real, self.called = real, 0

    async def calls(self) -> int:
        return self.called

    def method(self) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any) -> Any:
            self.called += 1
            if self.called in (2, 3):
                raise KeyError("nobody foresaw this")
            return await self._real(*args)

        return call


async def test_periodic_work_goes_on() -> None:
    async def work() -> None: ...

    failing = Failing(work)
    periodic = Periodic("x", 0.001, failing.method())
    periodic.start()
    await eventually(failing.calls, lambda calls: calls > 4, seconds=20)
    await periodic.close()


async def test_what_looks_after_turns_journals_and_sleep_goes_on(
    tmp_path: Path, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_ROUND_SECONDS", 0.01)
    monkeypatch.setattr(sleeptime, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(sleeptime, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(thinning, "_LONGEST_PAUSE_SECONDS", 0.01)
    failing = []
    for owner, name in ((TurnEngine, "take_up"), (sleeptime.SleepTime, "_start_all"), (thinning.Thinner, "thin")):
        failing.append(Failing(getattr(owner, name)))
        monkeypatch.setattr(owner, name, failing[-1].method())
    async with running(tmp_path, *SERVICES, model_url=model.url):
        for each in failing:
            await eventually(each.calls, lambda calls: calls > 4, seconds=20)


async def test_a_purge_that_fails_holds_up_none_behind_it(
    tmp_path: Path, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(cleanup, "_PATIENCE_SECONDS", 0.1)
    real, failing = cleanup.Cleaner._purge, set[str]()

    async def purge(cleaner: cleanup.Cleaner, what: cleanup.Cleanup) -> None:
        if what.agent_id in failing:
            raise KeyError("nobody foresaw this")
        await real(cleaner, what)

    monkeypatch.setattr(cleanup.Cleaner, "_purge", purge)
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        world = World(stack)
        agents = [await world.new_agent() for _ in range(2)]
        for agent in agents:
            await world.send(agent, "hello", request_id="r")
        failing.add(agents[0].id)
        for agent in agents:
            await world.peer.unary(world.agents.DeleteAgent, pb.DeleteAgentRequest(agent_id=agent.id), caller=ANN)

        async def left(agent: pb.Agent) -> int:
            request = recall_pb2.CountMessagesRequest(agent_id=agent.id)
            return (await world.recall_peer.unary(world.recall.CountMessages, request, caller=ANN)).count

        await eventually(lambda: left(agents[1]), lambda count: count == 0, seconds=20)
        assert await left(agents[0]) == 2
        failing.clear()
        await eventually(lambda: left(agents[0]), lambda count: count == 0, seconds=20)
