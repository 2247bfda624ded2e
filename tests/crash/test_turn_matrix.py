"""agent_service is killed at every place that a turn passes, on both stores: what must be is there afterwards, once.

What must be is said by `_expected`, and is the same wherever it died. Another turn waits behind the one that is killed,
and nobody reads that one's events. docs/promises.md says what keeps the promise at each place.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent_service import failpoints
from servicekit.channel import Peer
from servicekit.principal import Principal
from tests.support import postgres
from tests.support.keys import new_user, signer
from tests.support.processes import Service
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import environment
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.archival.v1 import archival_pb2
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.recall.v1 import recall_pb2
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2

# `scripts/mutations.py` waits less: there they fail.
_SECONDS = float(os.environ.get("TRIPTYCH_TEST_SECONDS", "40"))
_USER, _ANSWER, _TOOL = type_pb2.ROLE_USER, type_pb2.ROLE_ASSISTANT, type_pb2.ROLE_TOOL
_EDIT = json.dumps({"label": "human", "new_string": "Name: Ann."})
_FACT = json.dumps({"content": "Ann likes quince."})
_FIRST = f"[[call:memory_insert {_EDIT}]] [[call:archival_memory_insert {_FACT}]] note"
_SECOND, _AFTER = "second", "after"
# Three model calls, two tool calls, three appends: each time that the first turn passes, and once for the second.
_PASSED = {"accept": 2, "model": 4, "step": 2, "call": 2, "recall": 4, "finish": 2, "events": 4, "settled": 2}
_KILLS = [f"{name}:n={time}" for name in failpoints.NAMES for time in range(1, _PASSED[name.partition(":")[0]] + 1)]

# The code is the same on both stores: the first passes show what differs.
_CASES = [("sqlite", kill) for kill in _KILLS] + [
    ("postgres", kill) for kill in _KILLS if kill.endswith((":n=1", ":n=2"))
]
# In these the first turn's model is asked again for what it had begun to say.
_IN_MODEL = tuple(f"{name}:n={time}" for name in ("model:before", "model:after") for time in (1, 2, 3))
_IN_MODEL += ("finish:before:n=1",)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str], ScriptedModel]]:
    """A model, recall and archival for all of these tests; each has a user of its own."""
    folder = tmp_path_factory.mktemp("matrix")
    model = ScriptedModel().start()
    environ = environment(folder, model.url)
    tiers = [Service(name, environ) for name in ("recall_service", "archival_service")]
    yield folder, environ, model
    for tier in tiers:
        tier.kill()
    model.stop()


@pytest.fixture(scope="module")
def agent_environ(
    request: pytest.FixtureRequest, shared: tuple[Path, dict[str, str], ScriptedModel]
) -> Iterator[dict[str, str]]:
    """agent_service's settings on the store that is asked for."""
    _, environ, _ = shared
    environ = {**environ, "TRIPTYCH_DRAIN_SECONDS": "0"}
    if request.param == "sqlite":
        yield environ
        return
    with postgres.database(request.getfixturevalue("postgres_server")) as dsn:
        yield {**environ, "TRIPTYCH_AGENT_DSN": dsn}


class Client:
    """A user who sends each request again until it is answered."""

    def __init__(self, environ: dict[str, str], keys: Path) -> None:
        self._caller: Principal = new_user()
        key = signer(keys)
        self._agent = Peer("agent_service", environ["TRIPTYCH_AGENT_ADDRESS"], key)
        self._recall = Peer("recall_service", environ["TRIPTYCH_RECALL_ADDRESS"], key)
        self._archival = Peer("archival_service", environ["TRIPTYCH_ARCHIVAL_ADDRESS"], key)
        self._agents, self._turns = AgentServiceStub(self._agent.channel), TurnServiceStub(self._agent.channel)

    async def new_agent(self) -> agent_pb2.Agent:
        wanted = agent_pb2.Agent(blocks=[agent_pb2.Block(label="human")])
        request = agent_pb2.CreateAgentRequest(agent=wanted, include_base_tools=True)
        return (await self._agent.unary(self._agents.CreateAgent, request, caller=self._caller)).agent

    async def begin(self, agent: agent_pb2.Agent, text: str, *, background: bool = False) -> str:
        """Starts a turn, or finds the one that this began before, and leaves; gives its id."""
        message = turn_pb2.InputMessage(text=text)
        request = turn_pb2.StartTurnRequest(
            agent_id=agent.id, request_id=text, messages=[message], background=background
        )
        async for response in self._agent.stream(self._turns.StartTurn, request, caller=self._caller):
            return response.event.turn_id
        raise AssertionError("the turn was not acknowledged")

    async def events(self, turn_id: str) -> list[turn_pb2.TurnEvent]:
        request = turn_pb2.ResumeTurnRequest(turn_id=turn_id)
        stream = self._agent.stream(self._turns.ResumeTurn, request, caller=self._caller)
        return [response.event async for response in stream]

    async def block(self, agent: agent_pb2.Agent) -> str:
        request = agent_pb2.GetAgentRequest(agent_id=agent.id)
        return (await self._agent.unary(self._agents.GetAgent, request, caller=self._caller)).agent.blocks[0].value

    async def said(self, agent: agent_pb2.Agent) -> list[recall_pb2.Message]:
        request = recall_pb2.ListMessagesRequest(
            agent_id=agent.id, conversation_id=agent.default_conversation_id, page_size=1000
        )
        stub = RecallServiceStub(self._recall.channel)
        return list((await self._recall.unary(stub.ListMessages, request, caller=self._caller)).messages)

    async def passages(self) -> list[str]:
        stub, request = ArchivalServiceStub(self._archival.channel), archival_pb2.ListPassagesRequest()
        found = await self._archival.unary(stub.ListPassages, request, caller=self._caller)
        return [passage.text for passage in found.passages]

    async def close(self) -> None:
        for peer in (self._agent, self._recall, self._archival):
            await peer.close()


@pytest.fixture
async def client(
    agent_environ: dict[str, str], shared: tuple[Path, dict[str, str], ScriptedModel]
) -> AsyncIterator[Client]:
    made = Client(agent_environ, shared[0] / "keys")
    yield made
    await made.close()


async def _send(client: Client, agent: agent_pb2.Agent, acknowledged: dict[str, str]) -> None:
    """Sends both turns, notes the ids of those that are acknowledged, and reads the first one's events."""
    acknowledged[_FIRST] = await client.begin(agent, _FIRST)
    acknowledged[_SECOND] = await client.begin(agent, _SECOND, background=True)
    await client.events(acknowledged[_FIRST])


async def _killed_in_it(client: Client, agent: agent_pb2.Agent, service: Service) -> dict[str, str]:
    """Sends, until the service is dead. Gives what it had acknowledged."""
    acknowledged: dict[str, str] = {}
    sending = asyncio.create_task(_send(client, agent, acknowledged))
    assert await asyncio.to_thread(service.died, _SECONDS), "the turn does not pass this place"
    sending.cancel()  # a call to a service that is away waits for it
    await asyncio.gather(sending, return_exceptions=True)
    return acknowledged


def _expected(said: list[recall_pb2.Message]) -> None:
    """What must be in recall: every message once, in the order of the turns and of their steps, without a gap."""
    assert [message.sequence for message in said] == list(range(1, len(said) + 1))
    shape = [(message.role, message.text.partition("\n")[0]) for message in said if not message.tool_calls]
    assert [role for role, _ in shape] == [_USER, _TOOL, _TOOL, _ANSWER, _USER, _ANSWER, _USER, _ANSWER]
    spoken = [text for role, text in shape if role != _TOOL]
    assert spoken == [_FIRST, "ok: note", _SECOND, "ok: second", _AFTER, "ok: after"]
    assert sum(len(message.tool_calls) for message in said) == 2


async def _as_if_nothing_had_been(client: Client, agent: agent_pb2.Agent, acknowledged: dict[str, str]) -> list[int]:
    """Checks all that must be; gives on which run each event of the first turn came about."""
    attempts: dict[str, list[int]] = {}
    for text in (_FIRST, _SECOND, _AFTER):
        # What was acknowledged is there without being sent again, and sent again it is the same turn.
        turn_id = acknowledged.get(text) or await client.begin(agent, text)
        events = await client.events(turn_id)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
        assert await client.begin(agent, text) == turn_id
        attempts[text] = [event.attempt for event in events if event.HasField("step_restarted")]
    assert await client.block(agent) == "Name: Ann."
    assert await client.passages() == ["Ann likes quince."]
    _expected(await client.said(agent))
    return attempts[_FIRST]


@pytest.mark.parametrize("agent_environ", ["sqlite"], indirect=True)
async def test_killed_nowhere_it_is_so_as_well(client: Client, agent_environ: dict[str, str]) -> None:
    service = Service("agent_service", agent_environ)
    try:
        acknowledged: dict[str, str] = {}
        agent = await client.new_agent()
        async with asyncio.timeout(_SECONDS):
            await _send(client, agent, acknowledged)
            assert await _as_if_nothing_had_been(client, agent, acknowledged) == []
    finally:
        service.stop()


@pytest.mark.parametrize(("agent_environ", "kill"), _CASES, indirect=["agent_environ"])
async def test_killed_there_it_is_as_if_nothing_had_been(
    kill: str, client: Client, agent_environ: dict[str, str]
) -> None:
    service = Service("agent_service", {**agent_environ, "TRIPTYCH_TEST_FAILPOINT": kill})
    agent = await client.new_agent()
    acknowledged = await _killed_in_it(client, agent, service)

    service = Service("agent_service", agent_environ)
    try:
        async with asyncio.timeout(_SECONDS):
            restarted = await _as_if_nothing_had_been(client, agent, acknowledged)
            # Readers are told that what they have of that step does not count.
            assert restarted == [2] or kill not in _IN_MODEL
    finally:
        service.stop()  # so that nothing is left for the next one, which would pass its place in taking that up
