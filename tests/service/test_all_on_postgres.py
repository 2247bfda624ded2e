"""Every service with its store on PostgreSQL: turns, memory tools, and a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.door import opened
from tests.support.keys import ANN
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import Stack, running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2_grpc import AgentServiceStub
from triptych.agent.v1.turn_pb2_grpc import TurnServiceStub
from triptych.type.v1 import type_pb2

_SERVICES = ("recall_service", "archival_service", "agent_service", "gateway")


@pytest.fixture
def stores(postgres_server: str) -> Iterator[dict[str, str]]:
    """A database for each service."""
    with ExitStack() as stack:
        yield {
            f"TRIPTYCH_{name}_DSN": stack.enter_context(postgres.database(postgres_server))
            for name in ("RECALL", "ARCHIVAL", "AGENT", "GATEWAY")
        }


async def _send(stack: Stack, agent_id: str, text: str) -> str:
    """What came back: the model's words, or what its tool returned."""
    peer = stack.peer("agent_service")
    request = turn_pb2.StartTurnRequest(
        agent_id=agent_id, request_id=text, messages=[turn_pb2.InputMessage(text=text, role=type_pb2.ROLE_USER)]
    )
    stream = peer.stream(TurnServiceStub(peer.channel).StartTurn, request, caller=ANN)
    said = [response.event async for response in stream]
    await peer.close()
    assert said[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    return " ".join(event.tool_result.text or event.message.text for event in said)


async def test_what_an_agent_was_told_outlives_a_restart(
    tmp_path: Path, stores: dict[str, str], model: ScriptedModel
) -> None:
    fact, look = json.dumps({"content": "Eva is a glaciologist"}), json.dumps({"query": "glaciologist"})
    edit = json.dumps({"label": "human", "new_string": "allergic to walnuts"})
    async with running(tmp_path, *_SERVICES, model_url=model.url, more=stores) as stack:
        peer = stack.peer("agent_service")
        wanted = pb.Agent(name="keeper", blocks=[pb.Block(label="human", value="Ann.")])
        request = pb.CreateAgentRequest(agent=wanted, include_base_tools=True)
        agent = (await peer.unary(AgentServiceStub(peer.channel).CreateAgent, request, caller=ANN)).agent
        await peer.close()
        await _send(stack, agent.id, f"[[call:memory_insert {edit}]] note")
        await _send(stack, agent.id, f"[[call:archival_memory_insert {fact}]] save")
    async with running(tmp_path, *_SERVICES, model_url=model.url, more=stores) as stack:
        assert "allergic to walnuts" in await _send(stack, agent.id, "[[recite]]")
        assert "Eva is a glaciologist" in await _send(stack, agent.id, f"[[call:archival_memory_search {look}]] look")


async def test_identities_tags_batches_groups_and_pages_are_kept_there_too(
    tmp_path: Path, stores: dict[str, str], model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path, capsys, model_url=model.url, more=stores) as door, door.http() as http:
        agents = [(await http.post("/v1/agents", json={"name": name, "tags": [name]})).json()["id"] for name in "ab"]
        assert [each["id"] for each in (await http.get("/v1/agents", params={"tags": "a"})).json()] == agents[:1]
        assert (await http.get("/v1/tags", params={"order": "desc"})).json() == ["b", "a"]
        identity = {"identifier_key": "ann", "name": "Ann", "properties": [{"key": "k", "value": 1}]}
        made = (await http.post("/v1/identities", json={**identity, "agent_ids": agents})).json()
        found = (await http.get("/v1/agents", params={"identifier_keys": "ann", "order": "asc"})).json()
        assert [each["id"] for each in found] == agents
        assert found[0]["identities"] == [made]

        requests = [{"agent_id": agent_id, "input": "hello"} for agent_id in agents]
        batch = (await http.post("/v1/messages/batches", json={"requests": requests})).json()
        path = f"/v1/messages/batches/{batch['id']}"
        over = await eventually(lambda: http.get(path), lambda got: bool(got.json()["completed_at"]))
        assert over.json()["metadata"]["completed"] == 2
        assert len((await http.get("/v1/messages/batches")).json()) == 1

        group = (await http.post("/v1/groups", json={"agent_ids": agents, "description": "d"})).json()
        answer = (await http.post(f"/v1/groups/{group['id']}/messages", json={"input": "hello"})).json()
        assert [each["name"] for each in answer["messages"]] == ["a", "b"]
        assert len((await http.get(f"/v1/groups/{group['id']}/messages")).json()) == 3
        assert [each["id"] for each in (await http.get("/v1/groups")).json()] == [group["id"]]

        runs = [run["id"] for run in (await http.get("/v1/runs", params={"agent_id": agents[0]})).json()]
        for where, wanted in (({"after": runs[0]}, runs[1:]), ({"before": runs[-1], "limit": 1}, runs[-2:-1])):
            paged = (await http.get("/v1/runs", params={"agent_id": agents[0], **where})).json()
            assert [run["id"] for run in paged] == wanted
        archives = [(await http.post("/v1/archives", json={"name": name})).json()["id"] for name in "abc"]
        paged = (await http.get("/v1/archives", params={"before": archives[2], "order": "asc", "limit": 1})).json()
        assert [archive["id"] for archive in paged] == archives[1:2]

        async def stored() -> int:
            return int((await http.get("/v1/usage")).json()["stored_bytes"])

        before = await stored()
        passage = (await http.post(f"/v1/archives/{archives[0]}/passages", json={"text": "é" * 100})).json()
        filled = await eventually(stored, lambda now: now >= before + 200)
        assert (await http.delete(f"/v1/archives/{archives[0]}/passages/{passage['id']}")).is_success
        assert await eventually(stored, lambda now: now < filled) == before
        step = (await http.get("/v1/steps", params={"agent_id": agents[0]})).json()[0]
        await http.patch(f"/v1/steps/{step['id']}/feedback", json={"feedback": "positive"})
        assert (await http.get(f"/v1/steps/{step['id']}")).json()["feedback"] == "positive"
