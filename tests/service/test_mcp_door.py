"""The MCP package's own client against a running gateway: an agent's memory as tools, behind the user's key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.door import FIRST_KEY, Door, opened
from tests.support.scripted_model import ScriptedModel
from triptych.agent.v1.agent_pb2 import Agent


@pytest.fixture
async def door(tmp_path: Path, model: ScriptedModel, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Door]:
    async with opened(tmp_path, capsys, model_url=model.url) as made:
        yield made


@pytest.fixture
async def agent(door: Door) -> Agent:
    async with door.client() as client:
        made = await client.agents.create("ann", blocks={"human": "Name: Ann."})
        await client.turns.send(made.id, "My sister Eva has moved to Lisbon.")
        return made


class Tools:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, name: str, **arguments: Any) -> Any:
        """What the tool answered; the text of an error as `{"error": …}`."""
        result = await self.client.call_tool(name, arguments)
        text = result.content[0].text  # type: ignore[union-attr]
        return {"error": text} if result.is_error else json.loads(text)


@asynccontextmanager
async def tools(door: Door, path: str = "/mcp", key: str = FIRST_KEY) -> AsyncIterator[Tools]:
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}) as http,
        Client(streamable_http_client(door.http_url + path, http_client=http)) as client,
    ):
        yield Tools(client)


async def test_all_three_tiers_are_read_and_written(door: Door, agent: Agent) -> None:
    async with tools(door, f"/mcp/{agent.id}") as mine:
        said = await mine.call("conversation_search", query="Where did Eva move to?", roles=["user"])
        assert said["messages"][0]["content"] == "My sister Eva has moved to Lisbon."
        await mine.call("archival_memory_insert", content="Eva works at the oceanarium.", tags=["family"])
        found = await mine.call("archival_memory_search", query="oceanarium", tags=["family"])
        assert found["passages"][0]["content"] == "Eva works at the oceanarium."
        await mine.call("memory_insert", label="human", new_string="Sister: Eva.")
        await mine.call("memory_replace", label="human", old_string="Name: Ann.", new_string="Name: Anna.")
        read = await mine.call("memory_read", label="human")
        assert read["blocks"][0]["value"] == "Name: Anna.\nSister: Eva."
        await mine.call("memory_rethink", label="human", new_memory="Anna, Eva's sister.")
    async with door.client() as client:
        assert (await client.agents.get(agent.id)).blocks[0].value == "Anna, Eva's sister."
        assert [each.text async for each in client.archival.list(agent)] == ["Eva works at the oceanarium."]


async def test_without_an_agent_in_the_url_a_tool_is_told_whose(door: Door, agent: Agent) -> None:
    async with tools(door) as all_mine, tools(door, "/mcp/ann") as hers:
        assert (await all_mine.call("list_agents"))["agents"] == [{"id": agent.id, "name": "ann"}]
        assert (await all_mine.call("memory_read", agent="ann"))["blocks"][0]["label"] == "human"
        assert "must be given" in (await all_mine.call("memory_read"))["error"]
        asked = {tool.name: tool.input_schema["properties"] for tool in (await all_mine.client.list_tools()).tools}
        assert all("agent" in asked[name] for name in asked if name != "list_agents")
        shown = (await hers.client.list_tools()).tools
        assert not any("agent" in tool.input_schema["properties"] for tool in shown)
        assert "another" in (await hers.call("memory_read", agent="somebody"))["error"]


async def test_concurrent_inserts_into_a_block_are_all_there(door: Door, agent: Agent) -> None:
    async with tools(door, "/mcp/ann") as mine:
        await asyncio.gather(*(mine.call("memory_insert", label="human", new_string=f"line {n}") for n in range(4)))
        value = (await mine.call("memory_read"))["blocks"][0]["value"]
    assert sorted(value.splitlines()) == sorted(["Name: Ann.", *(f"line {n}" for n in range(4))])


async def test_what_goes_wrong_is_the_tools_answer(door: Door, agent: Agent) -> None:
    async with tools(door, "/mcp/ann") as mine:
        for name, given in (
            ("memory_replace", {"label": "human", "old_string": "Bob", "new_string": "x"}),
            ("memory_insert", {"label": "human", "new_string": "x", "insert_line": 7}),
            ("memory_rethink", {"label": "nothing", "new_memory": "x"}),
            ("archival_memory_search", {"query": "x", "limit": 1000}),
            ("conversation_search", {}),
            ("no_such_tool", {}),
        ):
            assert "error" in await mine.call(name, **given), name


async def test_a_key_opens_its_users_memory_and_no_other(door: Door, agent: Agent) -> None:
    key = await door.new_user("bob")
    async with tools(door, key=key) as bobs, tools(door) as mine:
        for _ in range(3):
            assert (await bobs.call("list_agents"))["agents"] == []
            assert len((await mine.call("list_agents"))["agents"]) == 1
        for named in (agent.id, "ann"):
            assert "not found" in (await bobs.call("memory_read", agent=named))["error"]
    async with httpx.AsyncClient(base_url=door.http_url) as nobody:
        assert (await nobody.post("/mcp", json={})).status_code == 401
