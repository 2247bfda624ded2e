"""Own tools, tool rules, approvals and tools of the program itself, as letta-client asks for them."""

from __future__ import annotations

from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta
from letta_client.types import Tool

from tests.support.scripted_model import ScriptedModel

_SCHEMA: dict[str, Any] = {
    "name": "look_up",
    "description": "Looks a word up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}
_CALL = '[[call:look_up {"word": "quince"}]] what is a quince?'


async def _made(letta: AsyncLetta) -> str:
    # letta-client insists on source code, which this tool has none of.
    return (await letta.post("/v1/tools", cast_to=Tool, body={"json_schema": _SCHEMA})).id


async def test_an_own_tool_is_listed_changed_attached_and_deleted(letta: AsyncLetta) -> None:
    tool_id = await _made(letta)
    tool = await letta.tools.retrieve(tool_id)
    assert (tool.name, tool.tool_type, tool.json_schema) == ("look_up", "custom", _SCHEMA)
    assert (await letta.tools.update(tool_id, tags=["words"])).tags == ["words"]
    assert [each.id async for each in letta.tools.list(name="look_up")] == [tool_id]

    agent = await letta.agents.create(name="a", tool_ids=[tool_id])
    assert "look_up" in [each.name for each in agent.tools]
    await letta.agents.tools.detach(tool_id, agent_id=agent.id)
    assert "look_up" not in [each.name async for each in letta.agents.tools.list(agent.id)]
    await letta.agents.tools.attach(tool_id, agent_id=agent.id)
    assert "look_up" in [each.name async for each in letta.agents.tools.list(agent.id)]

    (listed,) = [each async for each in letta.agents.list()]
    assert (listed.id, listed.tools) == (agent.id, [])
    (listed,) = [each async for each in letta.agents.list(include=["agent.tools"])]
    assert listed.tools == (await letta.agents.retrieve(agent.id)).tools
    assert "look_up" in [each.name for each in listed.tools]

    await letta.tools.delete(tool_id)
    with pytest.raises(letta_client.NotFoundError):
        await letta.tools.retrieve(tool_id)


async def test_every_tool_is_on_some_page_once(letta: AsyncLetta) -> None:
    await _made(letta)
    paged = [tool.id async for tool in letta.tools.list(limit=2)]
    assert len(paged) == len(set(paged)) == await letta.get("/v1/tools/count", cast_to=int)


async def test_tool_rules_come_back_as_they_were_given(letta: AsyncLetta) -> None:
    rules: list[Any] = [
        {"type": "run_first", "tool_name": "conversation_search"},
        {"type": "constrain_child_tools", "tool_name": "conversation_search", "children": ["memory_insert"]},
        {"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 2},
        {"type": "exit_loop", "tool_name": "memory_insert"},
    ]
    agent = await letta.agents.create(name="a", tool_rules=rules)
    shown = [rule.model_dump(exclude_none=True) for rule in (await letta.agents.retrieve(agent.id)).tool_rules or []]
    assert shown == rules
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.agents.update(agent.id, tool_rules=[{"type": "no_such_rule", "tool_name": "x"}])  # type: ignore[list-item]


@pytest.mark.parametrize("approve", [True, False])
async def test_a_call_waits_for_a_persons_word_and_goes_on_with_it(letta: AsyncLetta, approve: bool) -> None:
    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": ""}])
    await letta.agents.tools.update_approval("memory_insert", agent_id=agent.id, body_requires_approval=True)
    call = '[[call:memory_insert {"label": "human", "new_string": "likes quinces"}]] note it'
    asked = await letta.agents.messages.create(agent.id, input=call)
    assert asked.stop_reason.stop_reason == "requires_approval"
    (request,) = asked.messages
    assert request.message_type == "approval_request_message"
    asks = (await letta.agents.retrieve(agent.id, include=["agent.pending_approval"])).pending_approval
    assert asks is not None
    assert (asks.id, asks.tool_call) == (request.id, request.tool_call)
    with pytest.raises(letta_client.ConflictError):
        await letta.agents.messages.create(agent.id, input="and now?")

    word: Any = {"type": "approval", "approve": approve, "tool_call_id": request.tool_call.tool_call_id}
    reply = await letta.agents.messages.create(agent.id, messages=[{"type": "approval", "approvals": [word]}])
    assert reply.stop_reason.stop_reason == "end_turn"
    assert (await letta.agents.retrieve(agent.id, include=["agent.pending_approval"])).pending_approval is None
    block = await letta.agents.blocks.retrieve("human", agent_id=agent.id)
    assert ("likes quinces" in block.value) is approve


async def test_one_word_for_all_calls_is_understood_too(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": ""}])
    await letta.agents.tools.update_approval("memory_insert", agent_id=agent.id, body_requires_approval=True)
    call = '[[call:memory_insert {"label": "human", "new_string": "likes quinces"}]] note it'
    await letta.agents.messages.create(agent.id, input=call)
    await letta.agents.messages.create(agent.id, messages=[{"type": "approval", "approve": True}])
    assert "likes quinces" in (await letta.agents.blocks.retrieve("human", agent_id=agent.id)).value


async def test_a_tool_of_the_program_is_called_by_it(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    tool: Any = {"name": "look_up", "description": "d", "parameters": _SCHEMA["parameters"]}
    events = [
        event
        async for event in await letta.agents.messages.create(
            agent.id, input=_CALL, client_tools=[tool], streaming=True
        )
    ]
    types = [event.message_type for event in events]
    assert types == ["ping", "approval_request_message", "stop_reason", "usage_statistics"]
    request = events[1]
    result: Any = {
        "type": "tool",
        "tool_call_id": request.tool_call.tool_call_id,
        "tool_return": "a fruit",
        "status": "success",
    }
    reply = await letta.agents.messages.create(
        agent.id, messages=[{"type": "approval", "approvals": [result]}], client_tools=[tool]
    )
    assert reply.stop_reason.stop_reason == "end_turn"
    assert "a fruit" in str(model.requests[-1]["messages"])
