"""Agent files (`.af`): out, in, and in from Letta's server."""

from __future__ import annotations

import json
import uuid
from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta
from letta_client.types import Tool

from tests.support.door import Door
from tests.support.scripted_model import ScriptedModel

_PNG, _LINK = "data:image/png;base64,iVBORw0KGgo=", "https://example.org/quince.jpg"
_SCHEMA: dict[str, Any] = {"name": "look_up", "description": "d", "parameters": {"type": "object", "properties": {}}}


async def _told(letta: AsyncLetta, agent_id: str) -> list[tuple[str, str]]:
    shown = [message async for message in letta.agents.messages.list(agent_id, order="asc")]
    return [
        (each.message_type or "", str(getattr(each, "content", None) or getattr(each, "tool_return", None)))
        for each in shown
    ]


async def _imported(letta: AsyncLetta, content: str | bytes, **wishes: Any) -> str:
    (agent_id,) = (await letta.agents.import_file(file=("agent.af", content), **wishes)).agent_ids
    return agent_id


async def test_an_agent_comes_back_with_blocks_tools_messages_and_passages(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    tool = await letta.post("/v1/tools", cast_to=Tool, body={"json_schema": _SCHEMA})
    rules: list[Any] = [{"type": "exit_loop", "tool_name": "look_up"}]
    agent = await letta.agents.create(
        name="ann",
        tags=["t"],
        tool_ids=[tool.id],
        tool_rules=rules,
        memory_blocks=[{"label": "human", "value": "Ann", "limit": 777, "read_only": True}],
    )
    await letta.agents.messages.create(agent.id, input='[[call:archival_memory_insert {"content": "jam"}]] quinces')
    await letta.agents.passages.create(agent.id, text="plums", tags=["fruit"])
    thread = await letta.conversations.create(agent_id=agent.id, summary="thread")
    async for _ in await letta.conversations.messages.create(thread.id, input="figs"):
        pass

    copy_id = await _imported(letta, await letta.agents.export_file(agent.id), append_copy_suffix=True)
    copy = await letta.agents.retrieve(copy_id)
    assert (copy.name, copy.tags) == ("ann_copy", ["t"])
    assert [each.name for each in copy.tools] == [each.name for each in agent.tools]
    assert [rule.model_dump(exclude_none=True) for rule in copy.tool_rules or []] == rules
    (block,) = copy.blocks
    assert (block.label, block.value, block.limit, block.read_only) == ("human", "Ann", 777, True)
    assert block.id != agent.blocks[0].id
    assert await _told(letta, copy_id) == await _told(letta, agent.id)
    passages = await letta.agents.passages.list(copy_id)
    assert sorted(each.text for each in passages) == ["jam", "plums"]
    threads = await letta.conversations.list(agent_id=copy_id)
    assert "thread" in [each.summary for each in threads]

    await letta.agents.messages.create(copy_id, input="go on")
    assert "quinces" in str(model.requests[-1]["messages"])


async def test_images_and_titles_come_back_and_guests_conversations_stay(
    letta: AsyncLetta, door: Door, key: str, model: ScriptedModel
) -> None:
    guests_key = await door.new_user(uuid.uuid4().hex)
    async with door.client(key) as client, door.client(guests_key) as guest:
        agent = await client.agents.create("sees")
        await client.turns.send(agent.id, "what is this?", image_urls=[_PNG, _LINK])
        await client.turns.send(agent.id, "", image_urls=[_PNG])
        await client.conversations.create(agent.id, title="Plans")
        await client.shares.create(agent.id, (await guest.users.me()).user.id)
        await guest.shared_agents.send(agent.id, "my own words")
        file = await letta.agents.export_file(agent.id)
        assert "my own words" not in str(file)
        copy_id = await _imported(letta, file)
        assert await _told(letta, copy_id) == await _told(letta, agent.id)
        copied = [list(message.image_urls) async for message in client.recall.list(copy_id)]
        assert [urls for urls in copied if urls] == [[_PNG, _LINK], [_PNG]]
        titles = [each.title async for each in client.conversations.list(copy_id)]
        assert sorted(titles) == ["", "Plans"]
    await letta.agents.messages.create(copy_id, input="go on")
    assert _LINK in str(model.requests[-1]["messages"])


async def test_messages_of_lettas_server_are_unpacked_and_calls_without_answers_left_out(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "memory_insert", "arguments": "{}"}}
    lost = {"id": "c2", "type": "function", "function": {"name": "memory_insert", "arguments": "{}"}}
    packed = json.dumps({"type": "user_message", "message": "quinces", "time": "now"})
    done = json.dumps({"status": "OK", "message": "None", "time": "now"})
    said = [
        {"role": "system", "content": [{"type": "text", "text": "the compiled prompt"}]},
        {"role": "user", "content": [{"type": "text", "text": json.dumps({"type": "heartbeat", "reason": "r"})}]},
        {"role": "user", "content": [{"type": "text", "text": packed}]},
        {"role": "assistant", "content": [{"type": "text", "text": "noting"}], "tool_calls": [call, lost]},
        {"role": "tool", "content": [{"type": "text", "text": done}], "tool_call_id": "c1"},
        {"role": "tool", "content": [{"type": "text", "text": done}], "tool_call_id": "c9"},
        {"role": "assistant", "content": [{"type": "text", "text": "noted"}]},
    ]
    file = {
        "agents": [{"id": "agent-0", "name": "a", "messages": said, "block_ids": ["block-0"], "tool_ids": ["tool-0"]}],
        "blocks": [{"id": "block-0", "label": "human", "value": "Ann"}],
        "tools": [{"id": "tool-0", "name": "web_search", "tool_type": "letta_builtin"}],
        "mcp_servers": [],
    }
    agent_id = await _imported(letta, json.dumps(file))
    assert await _told(letta, agent_id) == [
        ("user_message", "quinces"),
        ("assistant_message", "noting"),
        ("tool_call_message", "None"),
        ("tool_return_message", "None"),
        ("assistant_message", "noted"),
    ]
    await letta.agents.messages.create(agent_id, input="go on")
    assert "c9" not in str(model.requests[-1]["messages"])


async def test_a_file_is_written_as_lettas_server_reads_it(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="ann", memory_blocks=[{"label": "human", "value": ""}], metadata={"n": 3})
    call = '[[call:memory_insert {"label": "human", "new_string": "likes quinces"}]] note it'
    await letta.agents.messages.create(agent.id, messages=[{"role": "system", "content": "speak low"}])
    await letta.agents.messages.create(agent.id, input=call)
    file = await letta.agents.export_file(agent.id)
    (written,) = json.loads(file)["agents"]
    # What its models insist on: the prompt before all that was said, packed results, and these types.
    said = written["messages"]
    assert said[0]["role"] == "system"
    assert "likes quinces" in said[0]["content"][0]["text"]
    assert written["in_context_message_ids"] == [message["id"] for message in said]
    (result,) = [message for message in said if message["role"] == "tool"]
    (returned,) = result["tool_returns"]
    for packed in (result["content"][0]["text"], returned["func_response"]):
        assert json.loads(packed)["status"] == "OK"
        assert "likes quinces" in json.loads(packed)["message"]
    assert written["secrets"] == {}
    assert type(written["metadata"]["n"]) is int

    copy_id = await _imported(letta, file)
    assert await _told(letta, copy_id) == await _told(letta, agent.id)
    assert ("system_message", "speak low") in await _told(letta, copy_id)


async def test_a_file_that_cant_be_brought_in_leaves_nothing(letta: AsyncLetta) -> None:
    agents = [
        {"id": "agent-0", "name": "good", "block_ids": ["block-0"]},
        {"id": "agent-1", "name": "bad", "archive_ids": ["archive-9"]},
    ]
    file = {"agents": agents, "blocks": [{"id": "block-0", "label": "human", "value": "Ann"}]}
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.agents.import_file(file=("agent.af", json.dumps(file)))
    assert [agent.id async for agent in letta.agents.list()] == []
    assert [block.id async for block in letta.blocks.list()] == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b'{"agents": 3}', b"[" * 100_000])
async def test_what_is_no_agent_file_is_refused(letta: AsyncLetta, content: bytes) -> None:
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.agents.import_file(file=("agent.af", content))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "\ud800"},
        {"tool_rules": [{}]},
        {"tool_rules": [{"type": "exit_loop", "tool_name": 0}]},
        {"llm_config": {"max_tokens": 2**70}},
        {"llm_config": {"context_window": 2**31}},
    ],
)
async def test_an_agent_with_a_wrong_value_is_refused(letta: AsyncLetta, wrong: dict[str, Any]) -> None:
    file = json.dumps({"agents": [{"id": "agent-0", **wrong}]})
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.agents.import_file(file=("agent.af", file))
