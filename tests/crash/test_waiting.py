"""Turns that wait, and calls of tools of others, when agent_service is killed with SIGKILL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from servicekit.channel import Peer
from tests.support import mcp_server
from tests.support.keys import ANN, signer
from tests.support.processes import Service
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import environment
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub

INSERT = '[[call:memory_insert {"label": "human", "new_string": "y"}]] please'
RULE = pb.ToolRule(type=pb.TOOL_RULE_TYPE_REQUIRES_APPROVAL, tool_name="memory_insert")
APPROVED = [turn_pb2.Approval(tool_call_id="call-0", approve=True)]


class Mortal:
    """agent_service as a process that dies, between two that don't."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self._environ = environ
        self._others = [Service(name, environ) for name in ("recall_service", "archival_service")]
        self._agent = Service("agent_service", environ)
        key = signer(folder / "keys")
        self.peer = Peer("agent_service", environ["TRIPTYCH_AGENT_ADDRESS"], key)
        self.archival = Peer("archival_service", environ["TRIPTYCH_ARCHIVAL_ADDRESS"], key)
        self.agents, self.turns = AgentServiceStub(self.peer.channel), TurnServiceStub(self.peer.channel)

    def die_and_come_back(self) -> None:
        self._agent.kill()
        self._agent = Service("agent_service", self._environ)

    async def unary(self, method: str, request: Any) -> Any:
        return await self.peer.unary(getattr(self.agents, method), request, caller=ANN)

    async def new_agent(self, *tools: str) -> pb.Agent:
        agent = pb.Agent(tools=tools, blocks=[pb.Block(label="human", value="x")], tool_rules=[RULE])
        made: pb.Agent = (await self.unary("CreateAgent", pb.CreateAgentRequest(agent=agent))).agent
        return made

    async def events(self, method: str, request: Any, until: str = "") -> list[TurnEvent]:
        """What a stream gives, to its end or to the first event of a kind."""
        found = []
        async for response in self.peer.stream(getattr(self.turns, method), request, caller=ANN):
            found.append(response.event)
            if response.event.WhichOneof("event") == until:
                break
        return found

    async def send(self, agent: pb.Agent, text: str, until: str = "") -> list[TurnEvent]:
        messages = [turn_pb2.InputMessage(text=text)]
        request = turn_pb2.StartTurnRequest(agent_id=agent.id, request_id=text, messages=messages)
        return await self.events("StartTurn", request, until)

    async def close(self) -> None:
        await self.peer.close()
        await self.archival.close()
        for service in (self._agent, *self._others):
            service.kill()


@pytest.fixture
async def mortal(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[Mortal]:
    made = Mortal({**environment(tmp_path, model.url), "TRIPTYCH_MCP_PRIVATE_ADDRESSES": "on"}, tmp_path)
    yield made
    await made.close()


@pytest.fixture
def url() -> Iterator[str]:
    with mcp_server.running("http") as address:
        yield address


async def test_a_wait_and_its_acknowledged_answer_outlive_a_kill(mortal: Mortal) -> None:
    agent = await mortal.new_agent("memory_insert")
    turn_id = (await mortal.send(agent, INSERT))[-1].turn_id
    mortal.die_and_come_back()
    resume = turn_pb2.ResumeTurnRequest(turn_id=turn_id)
    waiting = await mortal.events("ResumeTurn", resume)
    assert sum(event.HasField("approval_request") for event in waiting) == 1
    answer = turn_pb2.ContinueTurnRequest(turn_id=turn_id, request_id="c", approvals=APPROVED)
    await mortal.events("ContinueTurn", answer, until="approval_response")
    mortal.die_and_come_back()
    ended = await mortal.events("ContinueTurn", answer)
    assert ended[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    every = await mortal.events("ResumeTurn", resume)
    assert [event.sequence for event in every] == list(range(1, len(every) + 1))
    assert sum(event.HasField("approval_response") for event in every) == 1
    kept = (await mortal.unary("GetAgent", pb.GetAgentRequest(agent_id=agent.id))).agent
    assert kept.blocks[0].value == "x\ny"


async def test_a_call_of_an_outside_tool_that_a_kill_broke_off_is_never_made_again(mortal: Mortal, url: str) -> None:
    server = pb.McpServer(name="kit", url=url, headers={"Authorization": mcp_server.TOKEN})
    await mortal.unary("CreateMcpServer", pb.CreateMcpServerRequest(server=server))
    agent, other = await mortal.new_agent("kit__hang", "kit__count"), await mortal.new_agent("kit__count")
    count = f"[[call:kit__count {json.dumps({'name': 'hang'})}]]"
    await mortal.send(agent, "[[call:kit__hang {}]]", until="tool_started")
    for attempt in range(1_000):  # until the server has it
        if returned(await mortal.send(other, f"{count} {attempt}")) == "1":
            break
    mortal.die_and_come_back()
    assert "Outcome unknown" in returned(await mortal.send(agent, "[[call:kit__hang {}]]"))
    assert returned(await mortal.send(agent, f"{count} at last")) == "1"


def returned(events: list[TurnEvent]) -> str:
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    return next(event.tool_result.text for event in events if event.HasField("tool_result"))
