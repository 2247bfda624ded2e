"""Every tool of `/mcp` × {own, foreign, missing, malformed agent}, named in the URL and in the arguments."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.tenancy.variants import check_no_leak, malformed, missing, plain
from tests.tenancy.world import World

IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
_BLOCK = {"label": "human"}
# What to call each tool with, beside the agent.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "conversation_search": {"query": "words"},
    "archival_memory_insert": {"content": "a fact"},
    "archival_memory_search": {"query": "words"},
    "memory_read": {},
    "memory_replace": {**_BLOCK, "old_string": "v", "new_string": "v"},
    "memory_insert": {**_BLOCK, "new_string": "v"},
    "memory_rethink": {**_BLOCK, "new_memory": "v"},
}
CASES = [(tool, way) for tool in ARGUMENTS for way in ("url", "argument")]


async def _sent(world: World, method: str, parameters: dict[str, Any], path: str = "") -> bytes:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    headers = {"accept": "application/json, text/event-stream"}
    response = await world.http.post(f"/mcp{path}", json=request, headers=headers)
    assert response.status_code == 200, response.text
    return response.content


async def _called(world: World, tool: str, way: str, agent: str) -> bytes:
    given = ARGUMENTS[tool] if way == "url" else {**ARGUMENTS[tool], "agent": agent}
    path = f"/{quote(agent, safe='')}" if way == "url" else ""
    raw = await _sent(world, "tools/call", {"name": tool, "arguments": given}, path)
    check_no_leak(world, raw, agent)
    return raw


def _failed(raw: bytes) -> bool:
    return bool(json.loads(raw)["result"].get("isError"))


@IN_ONE_LOOP
async def test_every_tool_is_asked_about(world: World) -> None:
    listed = json.loads(await _sent(world, "tools/list", {}))["result"]["tools"]
    taking = {tool["name"] for tool in listed if "agent" in tool["inputSchema"]["properties"]}
    assert taking == ARGUMENTS.keys(), "tests/tenancy/test_mcp.py: add what to call it with to ARGUMENTS"
    check_no_leak(world, await _sent(world, "tools/call", {"name": "list_agents", "arguments": {}}))


@pytest.mark.parametrize(("tool", "way"), CASES)
@IN_ONE_LOOP
async def test_the_foreign_and_the_missing_are_the_same_bytes(world: World, tool: str, way: str) -> None:
    own, foreign = world.ids["ann"]["agent"], world.stranger("agent")
    assert b"not found" not in await _called(world, tool, way, own)
    answers = [await _called(world, tool, way, each) for each in (foreign, missing(foreign))]
    assert _failed(answers[0])
    assert plain(answers[0]) == plain(answers[1])


@pytest.mark.parametrize(("tool", "way"), CASES)
@IN_ONE_LOOP
async def test_an_agent_in_another_case_or_malformed_is_none(world: World, tool: str, way: str) -> None:
    for asked in (world.ids["ann"]["agent"].upper(), *malformed()):
        assert _failed(await _called(world, tool, way, asked)), asked
