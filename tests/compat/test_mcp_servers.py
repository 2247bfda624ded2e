"""MCP servers by letta-client: a real one, a process of its own, reached, changed, asked and forgotten."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta

from tests.support import mcp_server
from tests.support.door import FIRST_KEY, opened

_MISSING = "mcp_server-00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with mcp_server.running("http") as address:
        yield address


def _config(url: str, **more: Any) -> Any:
    token = {"auth_header": "Authorization", "auth_token": mcp_server.TOKEN}
    return {"mcp_server_type": "streamable_http", "server_url": url, **token, **more}


async def _made(letta: AsyncLetta, url: str, name: str = "kit") -> Any:
    return await letta.mcp_servers.create(server_name=name, config=_config(url))


async def test_its_tools_are_listed_run_and_called_by_agents(letta: AsyncLetta, url: str) -> None:
    server = await _made(letta, url)
    assert (server.server_name, server.mcp_server_type, server.server_url) == ("kit", "streamable_http", url)
    tools = {tool.name: tool for tool in await letta.mcp_servers.tools.list(server.id)}
    add = tools["kit__add"]
    assert (await letta.mcp_servers.tools.retrieve(add.id, mcp_server_id=server.id)).tool_type == "external_mcp"
    ran = await letta.mcp_servers.tools.run(add.id, mcp_server_id=server.id, args={"a": 2, "b": 3})
    assert (ran.status, ran.func_return) == ("success", "5")
    failed = await letta.mcp_servers.tools.run(add.id, mcp_server_id=server.id, args={"a": "two"})
    assert failed.status == "error"

    agent = await letta.agents.create(name="a", tool_ids=[add.id])
    reply = await letta.agents.messages.create(agent.id, input='[[call:kit__add {"a": 40, "b": 2}]] how much?')
    assert "42" in [m.tool_return for m in reply.messages if m.message_type == "tool_return_message"]
    by_agent = await letta.agents.tools.run("kit__add", agent_id=agent.id, args={"a": 1, "b": 1})
    assert (by_agent.func_return, by_agent.agent_state and by_agent.agent_state.id) == ("2", agent.id)


async def test_secrets_go_in_and_never_come_out(letta: AsyncLetta, url: str) -> None:
    made = await letta.mcp_servers.create(server_name="kit", config=_config(url, custom_headers={"X-Secret": "sesame"}))
    shown = [made, await letta.mcp_servers.retrieve(made.id or ""), *await letta.mcp_servers.list()]
    assert len(shown) == 3
    for each in shown:
        assert "letmein" not in each.model_dump_json()
        assert "sesame" not in each.model_dump_json()
        assert set(getattr(each, "custom_headers", {})) == {"X-Secret", "Authorization"}


async def test_it_is_reached_otherwise_and_keeps_what_was_not_said(letta: AsyncLetta, url: str) -> None:
    server = await letta.mcp_servers.create(
        server_name="kit", config=_config(url, custom_headers={"X-Secret": "sesame"})
    )
    elsewhere: Any = {"server_url": url + "?again=1"}
    changed: Any = await letta.mcp_servers.update(server.id or "", config=elsewhere)
    assert changed.server_url == url + "?again=1"
    (add,) = [tool for tool in await letta.mcp_servers.tools.list(changed.id) if tool.name == "kit__add"]
    ran = await letta.mcp_servers.tools.run(add.id, mcp_server_id=changed.id, args={"a": 2, "b": 3})
    assert ran.func_return == "5", "the token is still sent"
    token: Any = {"server_url": None, "auth_header": "Authorization", "auth_token": "Bearer wrong"}
    with pytest.raises(letta_client.APIStatusError) as refused:
        await letta.with_options(max_retries=0).mcp_servers.update(changed.id, config=token)
    assert refused.value.status_code == 503
    kept: Any = await letta.mcp_servers.retrieve(changed.id)
    assert set(kept.custom_headers) == {"X-Secret", "Authorization"}
    with pytest.raises(letta_client.UnprocessableEntityError, match="names"):
        await letta.mcp_servers.update(changed.id, server_name="other", config=elsewhere)


async def test_it_is_refreshed_and_deleted_with_its_tools(letta: AsyncLetta, url: str) -> None:
    server = await _made(letta, url)
    (add,) = [tool for tool in await letta.mcp_servers.tools.list(server.id) if tool.name == "kit__add"]
    await letta.tools.delete(add.id)
    seen: Any = await letta.mcp_servers.refresh(server.id)
    assert (seen["added"], seen["deleted"]) == (["kit__add"], [])
    assert "kit__count" in seen["updated"]
    await letta.mcp_servers.delete(server.id)
    assert await letta.mcp_servers.list() == []
    assert [tool.name async for tool in letta.tools.list(tool_types=["external_mcp"])] == []


async def test_a_program_is_not_started_unless_that_is_switched_on(letta: AsyncLetta) -> None:
    config: Any = {"mcp_server_type": "stdio", "command": "true", "args": [], "env": {"TOKEN": "x"}}
    with pytest.raises(letta_client.UnprocessableEntityError, match="TRIPTYCH_MCP_STDIO"):
        await letta.mcp_servers.create(server_name="kit", config=config)
    assert await letta.mcp_servers.list() == []


async def _adds(letta: AsyncLetta, server: Any) -> str:
    """What its tool `add` returns, of two and three, to an agent."""
    (add,) = [tool for tool in await letta.mcp_servers.tools.list(server.id) if tool.name == "kit__add"]
    agent = await letta.agents.create(name="a", tool_ids=[add.id])
    return (await letta.agents.tools.run("kit__add", agent_id=agent.id, args={"a": 2, "b": 3})).func_return or ""


async def test_a_server_of_kind_sse_is_reached_and_its_secrets_stay(letta: AsyncLetta) -> None:
    with mcp_server.running("sse") as address:
        made: Any = await letta.mcp_servers.create(
            server_name="kit", config=_config(address, mcp_server_type="sse", custom_headers={"X-Secret": "sesame"})
        )
        assert (made.mcp_server_type, made.server_url) == ("sse", address)
        assert "sesame" not in (await letta.mcp_servers.retrieve(made.id)).model_dump_json()
        assert await _adds(letta, made) == "5"
        assert "kit__add" in (await letta.mcp_servers.refresh(made.id))["updated"]  # type: ignore[index]


async def test_a_program_is_a_server_where_that_is_switched_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switched_on = {"TRIPTYCH_MCP_STDIO": "on"}
    async with opened(tmp_path, capsys, "agent_service", "gateway", more=switched_on) as own:
        letta = AsyncLetta(base_url=own.http_url, api_key=FIRST_KEY)
        config: Any = {"mcp_server_type": "stdio", "command": sys.executable}
        config |= {"args": ["-m", "tests.support.mcp_server", "stdio"]}
        config |= {"env": {"PYTHONPATH": str(Path(__file__).parents[2]), "TOKEN": "sesame"}}
        made: Any = await letta.mcp_servers.create(server_name="kit", config=config)
        shown: Any = await letta.mcp_servers.retrieve(made.id)
        assert (shown.mcp_server_type, shown.command, shown.args) == ("stdio", sys.executable, config["args"])
        assert "sesame" not in shown.model_dump_json()
        assert await _adds(letta, made) == "5"
        broken: Any = {"args": ["-c", "raise SystemExit"]}
        with pytest.raises(letta_client.APIStatusError) as refused:
            await letta.with_options(max_retries=0).mcp_servers.update(made.id, config=broken)
        assert refused.value.status_code == 503
        # What can't be reached is not kept.
        kept: Any = await letta.mcp_servers.retrieve(made.id)
        assert kept.args == config["args"]
        await letta.close()


async def test_what_is_not_there_and_what_cant_be_is_said(letta: AsyncLetta, url: str) -> None:
    server = await _made(letta, url)
    other = await _made(letta, url, "other")
    (of_other, *_) = await letta.mcp_servers.tools.list(other.id)
    for asking in (
        letta.mcp_servers.retrieve(_MISSING),
        letta.mcp_servers.delete(_MISSING),
        letta.mcp_servers.refresh(_MISSING),
        letta.mcp_servers.tools.list(_MISSING),
        letta.mcp_servers.update(_MISSING, config={"server_url": url}),
        letta.mcp_servers.tools.retrieve(of_other.id, mcp_server_id=server.id),
        letta.mcp_servers.tools.run(of_other.id, mcp_server_id=server.id),
    ):
        with pytest.raises(letta_client.NotFoundError):
            await asking
    with pytest.raises(letta_client.ConflictError):
        await letta.with_options(max_retries=0).mcp_servers.create(server_name="kit", config=_config(url))
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.mcp_servers.create(server_name="no good name", config=_config(url))
