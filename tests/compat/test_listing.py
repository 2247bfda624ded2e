"""What a letta-client program asks a list for, and a write to be done once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import letta_client
import pytest
from letta_client import AsyncLetta

from tests.support.door import Door
from tests.support.scripted_model import ScriptedModel

_SEARCHED = '[[call:conversation_search {"query": "x"}]] look'


async def test_messages_are_listed_by_their_type(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    conversation = await letta.conversations.create(agent_id=agent.id)
    await letta.agents.messages.create(agent.id, input=_SEARCHED)
    async for _ in await letta.conversations.messages.create(conversation.id, input=_SEARCHED):
        pass
    for wanted in ("user_message", "assistant_message", "tool_call_message", "tool_return_message"):
        of_agent = letta.agents.messages.list(agent.id, include_return_message_types=[wanted], limit=1)
        assert [each.message_type async for each in of_agent] == [wanted]
        of_conversation = letta.conversations.messages.list(conversation.id, include_return_message_types=[wanted])
        assert [each.message_type async for each in of_conversation] == [wanted]
        of_all = await letta.messages.list(include_return_message_types=[wanted])
        assert [each.message_type for each in of_all] == [wanted, wanted]
    assert len(await letta.messages.list(conversation_id=conversation.id)) == 4
    assert await letta.messages.list(include_return_message_types=["summary_message"]) == []


async def test_a_page_without_anything_to_show_is_not_the_lists_end(letta: AsyncLetta) -> None:
    """What `send_message` returned is not shown."""
    agent = await letta.agents.create(name="a", agent_type="memgpt_agent")
    for _ in range(2):
        await letta.agents.messages.create(agent.id, input='[[call:send_message {"message": "hello"}]] speak')
    whole = [each.id async for each in letta.agents.messages.list(agent.id, limit=100)]
    assert [each.id async for each in letta.agents.messages.list(agent.id, limit=1)] == whole


async def test_only_the_runs_that_are_named_are_cancelled(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    run = await letta.agents.messages.create_async(agent.id, input="[[wait]] hello")
    assert await asyncio.to_thread(model.waiting.wait, 20)
    assert await letta.agents.messages.cancel(agent.id, run_ids=["run-another"]) == {}
    assert await letta.agents.messages.cancel(agent.id, run_ids=[run.id]) == {run.id: "cancelled"}


async def test_tools_are_listed_by_id_and_type(letta: AsyncLetta) -> None:
    tools = [tool async for tool in letta.tools.list(limit=100)]
    ids = [tools[0].id, tools[1].id]
    assert [tool.id async for tool in letta.tools.list(tool_ids=ids)] == ids
    core = "letta_core"
    left = [tool.tool_type async for tool in letta.tools.list(exclude_tool_types=[core])]
    assert core in {tool.tool_type for tool in tools}
    assert core not in left
    schema = {"name": "look_up", "description": "one", "parameters": {"type": "object", "properties": {}}}
    await letta.put("/v1/tools", cast_to=object, body={"json_schema": schema})
    own = [tool.name async for tool in letta.tools.list(return_only_letta_tools=True, limit=100)]
    assert own
    assert "look_up" not in own


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/v1/agents", {"name": "a"}, {"name": "b"}),
        ("/v1/blocks", {"label": "a", "value": "v"}, {"label": "a", "value": "w"}),
        ("/v1/archives", {"name": "a"}, {"name": "b"}),
        ("/v1/folders", {"name": "a"}, {"name": "b"}),
    ],
)
async def test_what_is_sent_again_with_its_idempotency_key_is_made_once(
    door: Door, key: str, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    headers = {"authorization": f"Bearer {key}", "idempotency-key": "k"}
    async with httpx.AsyncClient(base_url=door.http_url, headers=headers) as http:
        first, again = [(await http.post(path, json=body)).json() for _ in range(2)]
        assert first["id"] == again["id"]
        assert len((await http.get(path)).json()) == 1
        assert (await http.post(path, json=other)).status_code in (409, 422)


async def test_agents_are_not_listed_by_more_tags_than_one_may_have(letta: AsyncLetta) -> None:
    await letta.agents.create(name="a", tags=["t99"])
    many = [f"t{number}" for number in range(100)]
    assert [agent.name async for agent in letta.agents.list(tags=many)] == ["a"]
    with pytest.raises(letta_client.UnprocessableEntityError, match="at most 100"):
        await letta.agents.list(tags=[*many, "one more"])
    with pytest.raises(letta_client.UnprocessableEntityError, match="at most 1000"):
        await letta.agents.list(identifier_keys=["key"] * 1001)


async def test_an_id_that_is_too_long_is_not_there(letta: AsyncLetta) -> None:
    with pytest.raises(letta_client.NotFoundError):
        await letta.agents.retrieve("x" * 50_000)
