"""What a turn promises when agent_service or recall_service is killed in the middle of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servicekit.channel import Peer
from servicekit.principal import Signer
from tests.support.keys import ANN, signer
from tests.support.processes import Service
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import environment
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.archival.v1 import archival_pb2
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub

_SECONDS = 40


class Tiers:
    """The three services as processes, which a test kills and starts again."""

    def __init__(self, environ: dict[str, str], key: Signer) -> None:
        self._environ = environ
        self.services = {name: Service(name, environ) for name in ("recall_service", "archival_service")}
        self.services["agent_service"] = Service("agent_service", environ)
        self.agent_peer = Peer("agent_service", environ["TRIPTYCH_AGENT_ADDRESS"], key)
        self.recall_peer = Peer("recall_service", environ["TRIPTYCH_RECALL_ADDRESS"], key)
        self.archival_peer = Peer("archival_service", environ["TRIPTYCH_ARCHIVAL_ADDRESS"], key)
        self.turns = TurnServiceStub(self.agent_peer.channel)

    def kill(self, name: str) -> None:
        self.services[name].kill()

    def start(self, name: str) -> None:
        self.services[name] = Service(name, self._environ)

    async def new_agent(self) -> agent_pb2.Agent:
        request = agent_pb2.CreateAgentRequest(
            agent=agent_pb2.Agent(blocks=[agent_pb2.Block(label="human")]), include_base_tools=True
        )
        agents = AgentServiceStub(self.agent_peer.channel)
        return (await self.agent_peer.unary(agents.CreateAgent, request, caller=ANN)).agent

    async def block_value(self, agent: agent_pb2.Agent) -> str:
        agents = AgentServiceStub(self.agent_peer.channel)
        request = agent_pb2.GetAgentRequest(agent_id=agent.id)
        return (await self.agent_peer.unary(agents.GetAgent, request, caller=ANN)).agent.blocks[0].value

    async def begin(self, agent: agent_pb2.Agent, text: str) -> str:
        """Starts a turn and leaves when it is acknowledged; gives its id."""
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id, request_id=text, messages=[turn_pb2.InputMessage(text=text)]
        )
        async for response in self.agent_peer.stream(self.turns.StartTurn, request, caller=ANN):
            return response.event.turn_id
        raise AssertionError("the turn was not acknowledged")

    async def finish(self, turn_id: str) -> list[turn_pb2.TurnEvent]:
        """Every event of the turn, to its end."""
        request = turn_pb2.ResumeTurnRequest(turn_id=turn_id)
        async with asyncio.timeout(_SECONDS):
            stream = self.agent_peer.stream(self.turns.ResumeTurn, request, caller=ANN)
            return [response.event async for response in stream]

    async def said(self, agent: agent_pb2.Agent) -> list[str]:
        request = recall_pb2.ListMessagesRequest(
            agent_id=agent.id, conversation_id=agent.default_conversation_id, page_size=1000
        )
        stub = RecallServiceStub(self.recall_peer.channel)
        return [m.text for m in (await self.recall_peer.unary(stub.ListMessages, request, caller=ANN)).messages]

    async def passages(self) -> list[str]:
        stub = ArchivalServiceStub(self.archival_peer.channel)
        request = archival_pb2.ListPassagesRequest()
        return [p.text for p in (await self.archival_peer.unary(stub.ListPassages, request, caller=ANN)).passages]

    async def close(self) -> None:
        for peer in (self.agent_peer, self.recall_peer, self.archival_peer):
            await peer.close()
        for service in self.services.values():
            service.kill()


@pytest.fixture
async def tiers(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[Tiers]:
    environ = environment(tmp_path, model.url)
    made = Tiers(environ, signer(tmp_path / "keys"))
    yield made
    await made.close()


async def killed_while_the_model_thinks(tiers: Tiers, model: ScriptedModel) -> None:
    assert await asyncio.to_thread(model.waiting.wait, _SECONDS)
    tiers.kill("agent_service")
    model.release()
    tiers.start("agent_service")


async def test_a_turn_killed_in_its_model_call_is_finished_and_its_message_kept_once(
    tiers: Tiers, model: ScriptedModel
) -> None:
    agent = await tiers.new_agent()
    turn_id = await tiers.begin(agent, "[[wait]] remember me")
    await killed_while_the_model_thinks(tiers, model)
    events = await tiers.finish(turn_id)
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert await tiers.said(agent) == ["[[wait]] remember me", "ok: remember me"]


async def test_memory_tools_have_one_effect_when_the_turn_is_killed_after_them(
    tiers: Tiers, model: ScriptedModel
) -> None:
    agent = await tiers.new_agent()
    edit = json.dumps({"label": "human", "new_string": "Name: Ann."})
    fact = json.dumps({"content": "Ann likes quince."})
    text = f"[[call:memory_insert {edit}]] [[call:archival_memory_insert {fact}]] [[wait:2]] note"
    turn_id = await tiers.begin(agent, text)
    await killed_while_the_model_thinks(tiers, model)
    events = await tiers.finish(turn_id)
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert await tiers.block_value(agent) == "Name: Ann."
    assert await tiers.passages() == ["Ann likes quince."]
    said = await tiers.said(agent)
    assert len(said) == 6
    assert (said[0], said[-1]) == (text, "ok: note")


async def test_turns_that_waited_are_run_in_order_after_a_kill(tiers: Tiers, model: ScriptedModel) -> None:
    agent = await tiers.new_agent()
    turn_ids = [await tiers.begin(agent, "[[wait]] first")]
    turn_ids += [await tiers.begin(agent, text) for text in ("second", "third")]
    await killed_while_the_model_thinks(tiers, model)
    for turn_id in turn_ids:
        assert (await tiers.finish(turn_id))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    assert await tiers.said(agent) == [
        "[[wait]] first",
        "ok: first",
        "second",
        "ok: second",
        "third",
        "ok: third",
    ]


async def test_a_replay_after_the_restart_attaches_and_does_not_run_again(tiers: Tiers, model: ScriptedModel) -> None:
    agent = await tiers.new_agent()
    turn_id = await tiers.begin(agent, "[[wait]] once")
    await killed_while_the_model_thinks(tiers, model)
    assert await tiers.begin(agent, "[[wait]] once") == turn_id
    await tiers.finish(turn_id)
    asked = len(model.requests)
    assert await tiers.begin(agent, "[[wait]] once") == turn_id
    assert len(model.requests) == asked
    assert len(await tiers.said(agent)) == 2


async def test_messages_reach_recall_though_it_was_away_when_the_turn_ended(tiers: Tiers, model: ScriptedModel) -> None:
    agent = await tiers.new_agent()
    await tiers.finish(await tiers.begin(agent, "hello"))
    turn_id = await tiers.begin(agent, "[[wait]] while you are away")
    assert await asyncio.to_thread(model.waiting.wait, _SECONDS)
    tiers.kill("recall_service")
    model.release()
    tiers.start("recall_service")
    assert (await tiers.finish(turn_id))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    # A turn's end waits two seconds for recall, and no longer.
    spoken = ["hello", "ok: hello", "[[wait]] while you are away", "ok: while you are away"]
    assert await eventually(lambda: tiers.said(agent), lambda said: len(said) >= len(spoken)) == spoken


@pytest.mark.parametrize("by_list", [False, True], ids=["get", "list of those that run"])
async def test_who_asks_whether_a_turn_is_over_can_list_it_when_it_is(
    tiers: Tiers, model: ScriptedModel, *, by_list: bool
) -> None:
    agent = await tiers.new_agent()
    await tiers.finish(await tiers.begin(agent, "hello"))
    turn_id = await tiers.begin(agent, "[[wait]] slowly")
    assert await asyncio.to_thread(model.waiting.wait, _SECONDS)
    request = turn_pb2.GetTurnRequest(turn_id=turn_id)

    running = turn_pb2.ListTurnsRequest(agent_id=agent.id, states=[turn_pb2.TURN_STATE_RUNNING])

    async def is_over() -> bool:
        if by_list:
            return not (await tiers.agent_peer.unary(tiers.turns.ListTurns, running, caller=ANN)).turns
        found = (await tiers.agent_peer.unary(tiers.turns.GetTurn, request, caller=ANN)).turn
        return found.state == turn_pb2.TURN_STATE_COMPLETED

    recall, took_it = tiers.services["recall_service"].pid, asyncio.Event()

    def go_on() -> None:
        os.kill(recall, signal.SIGCONT)
        took_it.set()

    os.kill(recall, signal.SIGSTOP)
    asyncio.get_running_loop().call_later(0.5, go_on)
    model.release()
    await eventually(is_over, bool)
    assert took_it.is_set()  # before that recall could not have listed it
    assert len(await tiers.said(agent)) == 4


async def test_messages_reach_recall_though_both_services_died_before_it_had_them(
    tiers: Tiers, model: ScriptedModel
) -> None:
    agent = await tiers.new_agent()
    await tiers.finish(await tiers.begin(agent, "hello"))
    turn_id = await tiers.begin(agent, "[[wait]] nobody heard this")
    assert await asyncio.to_thread(model.waiting.wait, _SECONDS)
    tiers.kill("recall_service")
    model.release()
    assert (await tiers.finish(turn_id))[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    tiers.kill("agent_service")
    tiers.start("agent_service")
    # Nobody who asks of it waits until recall is back.
    request = turn_pb2.GetTurnRequest(turn_id=turn_id)
    ended = (await tiers.agent_peer.unary(tiers.turns.GetTurn, request, caller=ANN, seconds=_SECONDS)).turn
    assert ended.state == turn_pb2.TURN_STATE_COMPLETED
    tiers.start("recall_service")
    async with asyncio.timeout(_SECONDS):
        while len(await tiers.said(agent)) < 4:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)
    assert (await tiers.said(agent))[2:] == ["[[wait]] nobody heard this", "ok: nobody heard this"]


async def test_a_turn_cancelled_while_it_waited_keeps_its_message(tiers: Tiers, model: ScriptedModel) -> None:
    agent = await tiers.new_agent()
    first = await tiers.begin(agent, "[[wait]] first")
    second = await tiers.begin(agent, "second")
    cancel = turn_pb2.CancelTurnRequest(turn_id=second)
    cancelled = await tiers.agent_peer.unary(tiers.turns.CancelTurn, cancel, caller=ANN)
    assert cancelled.turn.state == turn_pb2.TURN_STATE_CANCELLED
    model.release()
    await tiers.finish(first)
    async with asyncio.timeout(_SECONDS):
        while len(await tiers.said(agent)) < 3:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)
    assert sorted(await tiers.said(agent)) == sorted(["[[wait]] first", "ok: first", "second"])
