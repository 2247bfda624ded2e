"""Tools of a real MCP server, a process of its own, over every transport."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from tests.service.test_agent_service import results
from tests.service.test_tools import ToolWorld
from tests.support import mcp_server
from tests.support.keys import BOB
from tests.support.scripted_model import ScriptedModel
from tests.support.stack import running
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from triptych.type.v1 import type_pb2

SERVICES = ("recall_service", "archival_service", "agent_service")
OPEN = {
    "TRIPTYCH_MCP_PRIVATE_ADDRESSES": "true",
    "TRIPTYCH_MCP_STDIO": "true",
    "TRIPTYCH_MCP_TIMEOUT_SECONDS": "20",
}
HEADERS = {"Authorization": mcp_server.TOKEN}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with mcp_server.running("http") as address:
        yield address


@asynccontextmanager
async def started(folder: Path, model: ScriptedModel, **more: str) -> AsyncIterator[ToolWorld]:
    async with running(folder, *SERVICES, model_url=model.url, more={**OPEN, **more}) as stack:
        yield ToolWorld(stack)


@pytest.fixture
async def world(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[ToolWorld]:
    async with started(tmp_path, model) as made:
        yield made


async def register(world: ToolWorld, server: pb.McpServer, **more: Any) -> pb.CreateMcpServerResponse:
    request = pb.CreateMcpServerRequest(server=server)
    response: pb.CreateMcpServerResponse = await world.unary("CreateMcpServer", request, **more)
    return response


def at(url: str, **more: Any) -> pb.McpServer:
    return pb.McpServer(name="kit", url=url, headers=HEADERS, **more)


async def called(world: ToolWorld, agent: pb.Agent, tool: str, **arguments: Any) -> tuple[str, bool]:
    events = await world.send(agent, f"[[call:{tool} {json.dumps(arguments)}]] go")
    assert events[-1].done.turn.state == turn_pb2.TURN_STATE_COMPLETED
    result = results(events)[0]
    return result.text, result.tool_return.status == type_pb2.TOOL_STATUS_ERROR


async def test_a_servers_tools_become_tools_that_agents_call(world: ToolWorld, model: ScriptedModel, url: str) -> None:
    made = await register(world, at(url))
    names = [tool.name for tool in made.tools]
    assert "kit__add" in names
    assert next(n for n in names if n.startswith("kit__odd_name_with_signs"))
    agent = await world.agent_with("kit__add")
    assert await called(world, agent, "kit__add", a=2, b=3) == ("5", False)
    shown = model.requests[0]["tools"][0]["function"]
    assert (shown["description"], set(shown["parameters"]["properties"])) == ("Adds two numbers.", {"a", "b"})


@pytest.mark.parametrize("transport", ["sse", "stdio"])
async def test_the_other_transports_work_too(world: ToolWorld, transport: str) -> None:
    if transport == "stdio":
        arguments = ["-m", "tests.support.mcp_server", "stdio"]
        path = {"PYTHONPATH": str(Path(__file__).parents[2])}
        server = pb.McpServer(
            name="kit",
            transport=pb.MCP_TRANSPORT_STDIO,
            command=sys.executable,
            arguments=arguments,
            environment=path,
        )
        await register(world, server)
        assert await called(world, await world.agent_with("kit__add"), "kit__add", a=2, b=3) == ("5", False)
        return
    with mcp_server.running("sse") as address:
        await register(world, at(address, transport=pb.MCP_TRANSPORT_SSE))
        assert await called(world, await world.agent_with("kit__add"), "kit__add", a=2, b=3) == ("5", False)


async def test_calls_of_one_step_run_at_once(world: ToolWorld, url: str) -> None:
    with mcp_server.running("http") as own:
        await register(world, at(own))
        agent = await world.agent_with("kit__meet")
        meet = 'kit__meet {"count": 3}'
        events = await world.send(agent, f"[[calls:{meet} && {meet} && {meet}]] each waits for the others")
    assert [result.text for result in results(events)] == ["met"] * 3
    assert started_calls(events) == ["call-0", "call-0-1", "call-0-2"], "noted before they ran"


def started_calls(events: list[TurnEvent]) -> list[str]:
    return [event.tool_started.tool_call_id for event in events if event.HasField("tool_started")]


async def test_what_goes_wrong_out_there_is_a_tool_error(world: ToolWorld, url: str) -> None:
    await register(world, at(url))
    agent = await world.agent_with("kit__fail", "kit__add", "kit__large")
    text, failed = await called(world, agent, "kit__fail")
    assert failed
    assert "as asked" in text
    assert (await called(world, agent, "kit__add", a="no number"))[1]
    text, failed = await called(world, agent, "kit__large", size=500_000)
    assert not failed
    assert "[cut at 100,000 of 500,000 characters]" in text
    text, failed = await called(world, agent, "kit__large", size=100_000_000)
    assert failed
    assert len(text) < 1_000
    assert await called(world, agent, "kit__add", a=1, b=1) == ("2", False), "the next call has a new connection"


async def test_a_call_that_fails_breaks_off_no_other(world: ToolWorld, url: str) -> None:
    with mcp_server.running("http") as own:
        await register(world, at(own))
        agent = await world.agent_with("kit__refuse", "kit__outlast")
        events = await world.send(agent, "[[calls:kit__refuse {} && kit__outlast {}]] go")
        refused, lasted = results(events)
    assert refused.tool_return.status == type_pb2.TOOL_STATUS_ERROR
    assert "as asked" in refused.text
    assert lasted.text == "done"


async def test_a_tool_that_hangs_is_broken_off_in_time(tmp_path: Path, model: ScriptedModel, url: str) -> None:
    async with started(tmp_path, model, TRIPTYCH_MCP_TIMEOUT_SECONDS="1") as world:
        await register(world, at(url))
        agent = await world.agent_with("kit__hang", "kit__add")
        assert (await called(world, agent, "kit__hang"))[1]
        assert await called(world, agent, "kit__add", a=1, b=1) == ("2", False)


async def test_a_server_that_went_away_is_a_tool_error_and_one_that_came_back_is_used(world: ToolWorld) -> None:
    with mcp_server.running("http") as own:
        await register(world, at(own))
        agent = await world.agent_with("kit__add")
        assert not (await called(world, agent, "kit__add", a=1, b=1))[1]
    text, failed = await called(world, agent, "kit__add", a=1, b=2)
    assert failed
    assert own not in text


async def test_secrets_go_in_and_never_come_out(world: ToolWorld, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    made = await register(world, at(url))
    got = (await world.unary("GetMcpServer", pb.GetMcpServerRequest(server_id=made.server.id))).server
    listed = (await world.unary("ListMcpServers", pb.ListMcpServersRequest())).servers[0]
    refreshed = (await world.unary("RefreshMcpServer", pb.RefreshMcpServerRequest(server_id=made.server.id))).server
    for shown in (made.server, got, listed, refreshed):
        assert dict(shown.headers) == {"Authorization": ""}
    with pytest.raises(Unavailable) as refused:
        await register(world, pb.McpServer(name="other", url=url, headers={"Authorization": "Bearer wrong-secret"}))
    assert "wrong-secret" not in refused.value.message
    assert "letmein" not in "".join(capfd.readouterr())


async def test_secrets_are_not_taken_along_to_another_host(world: ToolWorld, url: str) -> None:
    made = await register(world, at(url))
    elsewhere = pb.McpServer(id=made.server.id, url="http://elsewhere.example/mcp")
    request = pb.UpdateMcpServerRequest(server=elsewhere, update_mask=FieldMask(paths=["url"]))
    with pytest.raises(InvalidArgument, match="another host"):
        await world.unary("UpdateMcpServer", request)
    kept = (await world.unary("GetMcpServer", pb.GetMcpServerRequest(server_id=made.server.id))).server
    assert kept.url == made.server.url


async def test_a_refresh_keeps_what_was_set_and_a_deletion_takes_all(world: ToolWorld, url: str) -> None:
    made = await register(world, at(url))
    tool = next(tool for tool in made.tools if tool.name == "kit__add")
    update = pb.UpdateToolRequest(tool=pb.Tool(id=tool.id, requires_approval=True))
    update.update_mask.paths.append("requires_approval")
    await world.unary("UpdateTool", update)
    refreshed = await world.unary("RefreshMcpServer", pb.RefreshMcpServerRequest(server_id=made.server.id))
    assert next(t for t in refreshed.tools if t.id == tool.id).requires_approval
    agent = await world.agent_with("kit__add")
    await world.unary("DeleteMcpServer", pb.DeleteMcpServerRequest(server_id=made.server.id))
    assert not (await world.get_agent(agent.id)).tools
    assert not (await world.unary("ListTools", pb.ListToolsRequest(mcp_server_id=made.server.id))).tools


async def test_servers_are_their_users_alone(world: ToolWorld, url: str) -> None:
    made = await register(world, at(url))
    with pytest.raises(AlreadyExists):
        await register(world, at(url))
    await register(world, at(url), caller=BOB)
    for method, request in (
        ("GetMcpServer", pb.GetMcpServerRequest(server_id=made.server.id)),
        ("RefreshMcpServer", pb.RefreshMcpServerRequest(server_id=made.server.id)),
        ("DeleteMcpServer", pb.DeleteMcpServerRequest(server_id=made.server.id)),
    ):
        with pytest.raises(NotFound):
            await world.unary(method, request, BOB)


async def test_inside_addresses_and_programs_are_refused_unless_allowed(
    tmp_path: Path, model: ScriptedModel, url: str
) -> None:
    closed = {"TRIPTYCH_MCP_PRIVATE_ADDRESSES": "false", "TRIPTYCH_MCP_STDIO": "false"}
    async with started(tmp_path, model, **closed) as world:
        with pytest.raises(Unavailable, match="not a public one"):
            await register(world, at(url))
        program = pb.McpServer(name="kit", transport=pb.MCP_TRANSPORT_STDIO, command=sys.executable)
        with pytest.raises(FailedPrecondition, match="TRIPTYCH_MCP_STDIO"):
            await register(world, program)


@pytest.mark.parametrize(
    "server",
    [
        pb.McpServer(name="", url="http://x"),
        pb.McpServer(name="a b", url="http://x"),
        pb.McpServer(name="x" * 41, url="http://x"),
        pb.McpServer(name="kit", url="http://x", command="sh"),
        pb.McpServer(name="kit", transport=pb.MCP_TRANSPORT_STDIO),
        pb.McpServer(name="kit", url="http://x", headers={"A": "b\nC: d"}),
    ],
)
async def test_a_server_that_makes_no_sense_is_refused(world: ToolWorld, server: pb.McpServer) -> None:
    with pytest.raises(InvalidArgument):
        await register(world, server)


async def test_headers_of_an_older_version_are_encrypted_at_the_start(
    tmp_path: Path, model: ScriptedModel, url: str
) -> None:
    async with started(tmp_path, model) as world:
        made = await register(world, at(url))
        agent = await world.agent_with("kit__add")
    old = pb.McpServer(id=made.server.id, name="kit", url=url, headers=HEADERS)
    old.transport = made.server.transport
    with sqlite3.connect(tmp_path / "agent.db") as store:
        store.execute("UPDATE mcp_servers SET body = ?, sealed = NULL", (old.SerializeToString(),))
    async with started(tmp_path, model) as world:
        assert await called(world, agent, "kit__add", a=2, b=3) == ("5", False)
        listed = await world.unary("ListMcpServers", pb.ListMcpServersRequest())
        assert [dict(server.headers) for server in listed.servers] == [{"Authorization": ""}]
    with sqlite3.connect(tmp_path / "agent.db") as store:
        kept = store.execute("SELECT body, sealed FROM mcp_servers").fetchall()
    assert mcp_server.TOKEN.encode() not in b"".join(kept[0])
