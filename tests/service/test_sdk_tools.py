"""Tools and waiting turns through the gateway, by both SDKs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.scripted_model import MODEL, ScriptedModel
from tests.support.stack import Stack, running
from triptych import AsyncTriptych, Triptych
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.agent.v1.agent_pb2 import ToolRule

SERVICES = ("recall_service", "archival_service", "agent_service", "gateway")
KEY = "trip_first-key-of-the-tests"
RULE = ToolRule(type=agent_pb2.TOOL_RULE_TYPE_REQUIRES_APPROVAL, tool_name="memory_insert")
INSERT = '[[call:memory_insert {"label": "human", "new_string": "y"}]] please'


@pytest.fixture
async def stack(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[Stack]:
    async with running(tmp_path, *SERVICES, model_url=model.url) as started:
        yield started


def address(stack: Stack) -> str:
    return stack.environ["TRIPTYCH_GATEWAY_GRPC_LISTEN"]


async def test_a_program_approves_denies_and_runs_its_own_tool(stack: Stack) -> None:
    async with AsyncTriptych(address(stack), KEY) as client:
        agent = await client.agents.create("ann", blocks={"human": "x"}, tool_rules=[RULE])
        reply = await client.turns.send(agent.id, INSERT)
        assert reply.turn.state == turn_pb2.TURN_STATE_WAITING
        reply = await client.turns.continue_turn(reply.turn.id, approve=[reply.pending_calls[0].call.id])
        assert reply.text.startswith("ok:")
        reply = await client.turns.send(agent.id, INSERT)
        reply = await client.turns.continue_turn(reply.turn.id, deny={reply.pending_calls[0].call.id: "no"})
        assert "denied" in reply.messages[0].text
        tool = await client.tools.create_client_tool("here", "d", {"type": "object", "properties": {}})
        await client.tools.attach(agent.id, tool.id)
        reply = await client.turns.send(agent.id, "[[call:here {}]] where")
        assert reply.pending_calls[0].client_side
        reply = await client.turns.continue_turn(reply.turn.id, returns={reply.pending_calls[0].call.id: "Oslo"})
        assert reply.messages[0].text == "Oslo"
        assert [each.name async for each in client.tools.list(name="here")] == ["here"]
        assert (await client.tools.update(tool.id, requires_approval=True)).requires_approval
        await client.tools.delete(tool.id)


async def test_one_turn_is_answered_by_another_model(stack: Stack, model: ScriptedModel) -> None:
    async with AsyncTriptych(address(stack), KEY) as client:
        agent = await client.agents.create("ann")
        await client.turns.send(agent.id, "hello", model="another")
        await client.turns.send(agent.id, "hello")
    assert [request["model"] for request in model.requests] == ["another", MODEL]


async def test_the_synchronous_client_can_do_the_same(stack: Stack) -> None:
    def talk() -> str:
        with Triptych(address(stack), KEY) as client:
            agent = client.agents.create("ann", blocks={"human": "x"}, tool_rules=[RULE])
            reply = client.turns.send(agent.id, INSERT)
            events = client.turns.continue_stream(reply.turn.id, approve=[reply.pending_calls[0].call.id])
            return [event.WhichOneof("event") for event in events][-1]

    assert await asyncio.to_thread(talk) == "done"


async def test_one_users_tools_are_not_in_what_rest_shows_another(
    tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, *SERVICES, model_url=model.url) as stack:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        http = next(line["http"] for line in lines if line["service"] == "gateway")
        async with AsyncTriptych(address(stack), KEY) as client:
            await client.tools.create_client_tool("private_tool", "d", {"type": "object"})
        async with httpx.AsyncClient(base_url=http, headers={"authorization": f"Bearer {KEY}"}) as rest:
            own = await rest.get("/v1/tools/")
            await rest.post("/v1/admin/users", json={"name": "bob"})
            made = await rest.post("/v1/admin/keys", json={"kind": "KEY_KIND_USER", "user_id": "bob"})
            of_bob = {"authorization": f"Bearer {made.json()['secret']}"}
            shown = await rest.get("/v1/tools/", headers=of_bob)
        assert "private_tool" in own.text
        assert "memory_insert" in shown.text
        assert "private_tool" not in shown.text
