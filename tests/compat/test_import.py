"""`triptych import --from-letta`: one user's agents, read by letta-client's calls, come to another user."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from letta_client import AsyncLetta
from letta_client.types import AgentState, Tool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.rest.server import HttpServer
from tests.support import mcp_server
from tests.support.door import Door
from tests.support.up import clean_environment

_SCHEMA: dict[str, Any] = {"name": "look_up", "description": "d", "parameters": {"type": "object", "properties": {}}}
_SECONDS = 60


@dataclass
class Relay:
    """Passes requests on to a server, up to the `number`th whose path has `part` in it: from then on nobody answers."""

    to: str
    part: str
    number: int
    asked: int = 0
    urls: list[httpx.URL] = field(default_factory=list)
    holding: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += self.part in scope["path"]
        if self.asked >= self.number:
            self.holding.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        request = Request(scope, receive)
        async with httpx.AsyncClient(base_url=self.to, timeout=30) as client:
            headers = {"authorization": request.headers["authorization"]}
            path = f"{request.url.path}?{request.url.query}"
            self.urls.append(httpx.URL(path))
            answer = await client.request(request.method, path, headers=headers, content=await request.body())
        made = Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))
        await made(scope, receive, send)


@asynccontextmanager
async def _relayed(door: Door, part: str, number: int) -> AsyncIterator[tuple[Relay, str]]:
    relay = Relay(door.http_url, part, number)
    server = HttpServer(relay, "127.0.0.1:0")
    url = await server.start()
    yield relay, url
    await server.stop(0)


@dataclass
class Move:
    """From the user of one key to a new one."""

    door: Door
    source_key: str
    key: str

    def here(self) -> AsyncLetta:
        return AsyncLetta(base_url=self.door.http_url, api_key=self.key)

    async def start(self, url: str = "", *options: str) -> asyncio.subprocess.Process:
        there = ("--from-letta", url or self.door.http_url, "--letta-api-key", self.source_key)
        here = ("--address", self.door.address, "--api-key", self.key)
        command = (sys.executable, "-m", "triptych.cli", "import", *there, *here, *options)
        return await asyncio.create_subprocess_exec(
            *command,
            env=clean_environment() | {"COLUMNS": "150"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, url: str = "", *options: str) -> tuple[int | None, str, str]:
        process = await self.start(url, *options)
        out, errors = await asyncio.wait_for(process.communicate(), _SECONDS)
        return process.returncode, out.decode(), errors.decode()


@pytest_asyncio.fixture(loop_scope="session")
async def move(door: Door, key: str) -> Move:
    return Move(door, key, await door.new_user(uuid.uuid4().hex))


async def _filled(letta: AsyncLetta) -> list[AgentState]:
    """Two agents that share a block and an archive, with a tool, a second conversation, and what they were told."""
    tool = await letta.post("/v1/tools", cast_to=Tool, body={"json_schema": _SCHEMA})
    shared = await letta.blocks.create(label="team", value="We ship on Fridays.", limit=900, read_only=True)
    archive = await letta.archives.create(name="handbook", description="d")
    await letta.archives.passages.create(archive.id, text="Quinces are best in October.", tags=["fruit"])
    rules: list[Any] = [{"type": "exit_loop", "tool_name": "look_up"}]
    agents = []
    for name in ("ann", "bob"):
        agent = await letta.agents.create(
            name=name,
            system=f"You are {name}'s.",
            tags=["t"],
            metadata={"tier": 3},
            tool_ids=[tool.id],
            tool_rules=rules,
            block_ids=[shared.id],
            memory_blocks=[{"label": "human", "value": name}],
        )
        await letta.agents.archives.attach(archive.id, agent_id=agent.id)
        fact = json.dumps({"content": f"jam of {name}"})
        for said in (f"[[call:archival_memory_insert {fact}]] note", "second", "third"):
            await letta.agents.messages.create(agent.id, input=said)
        agents.append(agent)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    shown: Any = {"role": "user", "content": [{"type": "text", "text": "what is this?"}, picture]}
    await letta.agents.messages.create(agents[0].id, messages=[shown])
    thread = await letta.conversations.create(agent_id=agents[0].id, summary="thread")
    async for _ in await letta.conversations.messages.create(thread.id, input="figs"):
        pass
    return agents


async def _add_what_stays(letta: AsyncLetta) -> None:
    """Of each kind that an import does not bring."""
    folder = await letta.folders.create(name="papers", embedding="letta/letta-free")
    for name in ("one.txt", "two.txt"):
        await letta.folders.files.upload(folder.id, file=(name, name.encode()))
    for key in ("ann", "bob"):
        body = {"identifier_key": key, "name": key, "identity_type": "user"}
        await letta.post("/v1/identities/", cast_to=object, body=body)
    with mcp_server.running("http") as url:
        config: Any = {"mcp_server_type": "streamable_http", "server_url": url, "auth_token": mcp_server.TOKEN}
        config |= {"auth_header": "Authorization"}
        await letta.mcp_servers.create(server_name="kit", config=config)


async def _seen(letta: AsyncLetta, name: str) -> dict[str, Any]:
    """All of an agent that should be the same in both places."""
    (agent,) = [each async for each in letta.agents.list(name=name, include=["agent.tools"])]
    said = [message async for message in letta.agents.messages.list(agent.id, order="asc", limit=100)]
    threads = await letta.conversations.list(agent_id=agent.id)
    in_threads = {
        thread.id: [each async for each in letta.conversations.messages.list(thread.id, order="asc")]
        for thread in threads
    }
    passages = await letta.agents.passages.list(agent.id)
    archives = [each async for each in letta.archives.list(agent_id=agent.id)]
    return {
        "agent": (agent.name, agent.system, agent.tags, agent.agent_type, (agent.metadata or {}).get("tier")),
        "rules": [rule.model_dump(exclude_none=True) for rule in agent.tool_rules or []],
        "tools": sorted(tool.name or "" for tool in agent.tools),
        "blocks": sorted((b.label, b.value, b.limit, b.read_only) for b in agent.blocks),
        "said": [(m.message_type, m.date, _words(m)) for m in said],
        "threads": sorted([(m.message_type, _words(m)) for m in told] for told in in_threads.values() if told),
        "passages": sorted((p.text, tuple(p.tags or []), p.created_at) for p in passages),
        "archives": sorted(each.name for each in archives),
    }


def _words(message: Any) -> str:
    fields = ("content", "tool_return", "status", "reasoning")
    shown = [str(getattr(message, name)) for name in fields if getattr(message, name, None)]
    calls = getattr(message, "tool_calls", None) or []
    return " ".join([*shown, *(f"{call.name}({call.arguments})" for call in calls)])


async def test_agents_come_with_all_that_they_have_and_a_second_import_adds_only_what_is_new(
    letta: AsyncLetta, move: Move
) -> None:
    agents = await _filled(letta)
    await _add_what_stays(letta)
    async with move.here() as here:
        code, out, errors = await move.run()
        assert (code, errors) == (0, "")
        assert out.count("whole") == 2
        assert "not brought: 2 files, 2 identities, 1 MCP server (" in out
        for name in ("ann", "bob"):
            assert await _seen(here, name) == await _seen(letta, name)
        assert len([block async for block in here.blocks.list(label="team")]) == 1
        (handbook,) = [each async for each in here.archives.list(name="handbook")]
        both = [each async for each in here.agents.list(order="asc")]
        assert [(agent.metadata or {})["letta_id"] for agent in both] == [agent.id for agent in agents]
        hits = await here.passages.search(query="quinces", archive_id=handbook.id)
        assert len(hits) == 1

        await letta.agents.messages.create(agents[1].id, input="fourth")
        await letta.agents.passages.create(agents[1].id, text="plums")
        assert (await move.run())[0] == 0
        for name in ("ann", "bob"):
            assert await _seen(here, name) == await _seen(letta, name)
        # An agent that has gone on here has more, and that is no fault.
        await here.agents.messages.create(both[1].id, input="fifth")
        assert (await move.run("", "--agent", "bob"))[0] == 0


async def test_agents_get_the_model_that_is_asked_for(letta: AsyncLetta, move: Move) -> None:
    await letta.agents.create(name="a")
    await letta.agents.create(name="b", model="openai/one")
    assert (await move.run("", "--agent", "b", "--model", "openai/other"))[0] == 0
    async with move.here() as here:
        (agent,) = [each async for each in here.agents.list()]
        assert (agent.name, agent.model) == ("b", "openai/other")


async def test_an_import_that_is_killed_anywhere_is_finished_by_another(letta: AsyncLetta, move: Move) -> None:
    await _filled(letta)
    small = ("--page-size", "2")
    for part, number in (("/messages", 4), ("/archival-memory", 4)):
        async with _relayed(move.door, part, number) as (relay, url):
            process = await move.start(url, *small)
            await asyncio.wait_for(relay.holding.wait(), _SECONDS)
            process.kill()
            await process.wait()
    async with move.here() as here:
        assert await _number(here.agents.list()) == 2, "it was to be killed in the second agent"
        code, out, _ = await move.run("", *small)
        assert code == 0, out
        for name in ("ann", "bob"):
            assert await _seen(here, name) == await _seen(letta, name)
        assert await _number(here.blocks.list()) == await _number(letta.blocks.list())
        assert await _number(here.archives.list()) == await _number(letta.archives.list())


async def _number(items: Any) -> int:
    return len([each async for each in items])


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("http://127.0.0.1:9", (), "no Letta server answers"),
        ("", ("--letta-api-key", "trip_wrong"), "does not accept the key"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(move: Move, url: str, options: tuple[str, ...], said: str) -> None:
    code, _, errors = await move.run(url, *options)
    assert code == 1
    assert said in errors
    assert len(errors.splitlines()) == 1


async def test_each_conversation_comes_as_its_own_however_many_there_are(letta: AsyncLetta, move: Move) -> None:
    agent = await letta.agents.create(name="cy")
    await letta.agents.messages.create(agent.id, input="in its own")
    for number in range(101):
        thread = await letta.conversations.create(agent_id=agent.id, summary=f"thread {number}")
    async for _ in await letta.conversations.messages.create(thread.id, input="in the last"):
        pass
    async with move.here() as here, _relayed(move.door, "never", 1) as (relay, url):
        code, _, errors = await move.run(url)
        assert (code, errors) == (0, "")
        assert await _seen(here, "cy") == await _seen(letta, "cy")
    # A server of Letta's gives those of all conversations where none is named.
    listed = [each for each in relay.urls if each.path == f"/v1/agents/{agent.id}/messages"]
    assert {each.params.get("conversation_id") for each in listed} == {"default"}
