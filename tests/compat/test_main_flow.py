"""What most programs do with letta-client, from the first agent to its end: each call, what it gives, what it left."""

from __future__ import annotations

import json
from typing import Any

import letta_client
import pytest
import pytest_asyncio
from letta_client import AsyncLetta
from letta_client.types import AgentState

from tests.support.recall import eventually

_BLOCKS: Any = [{"label": "human", "value": "Name: Ann."}, {"label": "persona", "value": "I am a helper."}]


@pytest_asyncio.fixture(loop_scope="session")
async def agent(letta: AsyncLetta) -> AgentState:
    made = await letta.agents.create(
        name="flow",
        model="openai-proxy/scripted-1",
        embedding="openai/text-embedding-3-small",
        include_base_tools=True,
        memory_blocks=_BLOCKS,
        tags=["flow"],
    )
    assert (made.agent_type, [block.value for block in made.blocks]) == (
        "letta_v1_agent",
        ["Name: Ann.", "I am a helper."],
    )
    return made


async def _calls(letta: AsyncLetta, agent: AgentState, tool: str, **arguments: Any) -> str:
    """Has the agent call a tool; gives what it returned."""
    reply = await letta.agents.messages.create(
        agent.id, messages=[{"role": "user", "content": f"[[call:{tool} {json.dumps(arguments)}]] go"}]
    )
    call, returned, said = reply.messages
    assert (call.message_type, said.message_type) == ("tool_call_message", "assistant_message")
    assert call.tool_call.name == tool
    assert returned.message_type == "tool_return_message"
    assert returned.status == "success"
    return str(returned.tool_return)


async def test_the_server_says_what_it_is_and_which_models_it_has(letta: AsyncLetta) -> None:
    assert (await letta.health()).status == "ok"
    assert "openai-proxy/scripted-1" in [model.handle for model in await letta.models.list()]
    assert "memory_insert" in [tool.name async for tool in letta.tools.list(limit=100)]


async def test_a_plain_turn_is_answered_counted_and_kept(letta: AsyncLetta, agent: AgentState) -> None:
    reply = await letta.agents.messages.create(agent.id, messages=[{"role": "user", "content": "hello there"}])
    assert reply.stop_reason.stop_reason == "end_turn"
    assert [getattr(message, "content", None) for message in reply.messages] == ["ok: hello there"]
    assert (reply.usage.total_tokens or 0) > 0
    (run,) = [run async for run in letta.runs.list(agent_id=agent.id)]
    (step,) = [step async for step in letta.steps.list(agent_id=agent.id)]
    assert (run.status, step.run_id, reply.messages[0].run_id) == ("completed", run.id, run.id)
    newest = (await letta.agents.messages.list(agent.id, limit=1)).items
    assert [message.id for message in newest] == [reply.messages[0].id]
    paged = [message async for message in letta.agents.messages.list(agent.id, limit=1, order="asc")]
    assert [message.message_type for message in paged] == ["user_message", "assistant_message"]


async def test_the_tools_of_each_tier_work_and_are_seen_by_the_api(letta: AsyncLetta, agent: AgentState) -> None:
    await _calls(letta, agent, "archival_memory_insert", content="Ann likes quince jam")
    assert "quince jam" in await _calls(letta, agent, "archival_memory_search", query="quince jam")
    await _calls(letta, agent, "memory_insert", label="human", new_string="Lives in Oslo", insert_line=-1)
    await _calls(letta, agent, "memory_replace", label="human", old_string="Name: Ann.", new_string="Name: Anna.")
    assert "quince jam" in await _calls(letta, agent, "conversation_search", query="quince jam")
    assert [passage.text for passage in await letta.agents.passages.list(agent.id)] == ["Ann likes quince jam"]
    values = {block.label: block.value async for block in letta.agents.blocks.list(agent.id)}
    assert values == {"human": "Name: Anna.\nLives in Oslo", "persona": "I am a helper."}


async def test_an_agent_of_an_older_type_edits_with_older_tools(letta: AsyncLetta) -> None:
    old = await letta.agents.create(name="old", agent_type="memgpt_agent", memory_blocks=_BLOCKS)
    await _calls(letta, old, "core_memory_append", label="human", content="Lives in Oslo")
    assert (await letta.agents.blocks.retrieve("human", agent_id=old.id)).value == "Name: Ann.\nLives in Oslo"


@pytest.mark.filterwarnings("ignore:deprecated")
async def test_turns_stream_by_steps_and_by_tokens(letta: AsyncLetta, agent: AgentState) -> None:
    said: Any = [{"role": "user", "content": "one two three"}]
    steps = [event async for event in await letta.agents.messages.stream(agent.id, messages=said)]
    assert [event.message_type for event in steps] == ["ping", "assistant_message", "stop_reason", "usage_statistics"]
    tokens = [event async for event in await letta.agents.messages.stream(agent.id, messages=said, stream_tokens=True)]
    pieces = [event for event in tokens if event.message_type == "assistant_message"]
    assert len({piece.id for piece in pieces}) == 1
    assert "".join(str(piece.content) for piece in pieces) == "ok: one two three"


async def test_a_turn_in_the_background_is_polled_to_its_end(letta: AsyncLetta, agent: AgentState) -> None:
    run = await letta.agents.messages.create_async(agent.id, messages=[{"role": "user", "content": "behind"}])
    assert run.status in ("created", "running")
    ended = await eventually(
        lambda: letta.runs.retrieve(run.id), lambda seen: seen.status not in ("created", "running")
    )
    assert ended.status == "completed"
    said = [message async for message in letta.agents.messages.list(agent.id, order="asc")]
    assert [getattr(message, "content", None) for message in said] == ["behind", "ok: behind"]


async def test_blocks_are_changed_shared_and_seen_by_the_model(letta: AsyncLetta, agent: AgentState) -> None:
    assert (await letta.agents.blocks.update("human", agent_id=agent.id, value="Name: Bea.")).value == "Name: Bea."
    shared = await letta.blocks.create(label="shared", value="for all", read_only=True)
    await letta.agents.blocks.attach(shared.id, agent_id=agent.id)
    reply = await letta.agents.messages.create(agent.id, input="[[recite]]")
    prompt = str(getattr(reply.messages[0], "content", ""))
    assert "Name: Bea." in prompt
    assert "for all" in prompt


async def test_passages_and_archives_are_made_found_and_deleted(letta: AsyncLetta, agent: AgentState) -> None:
    (sky,) = await letta.agents.passages.create(agent.id, text="The sky over Oslo is blue", tags=["sky"])
    found = await letta.agents.passages.search(agent.id, query="sky")
    assert [each.content for each in found.results] == ["The sky over Oslo is blue"]
    await letta.agents.passages.delete(sky.id, agent_id=agent.id)
    assert await letta.agents.passages.list(agent.id) == []

    archive = await letta.archives.create(name="shelf", embedding="openai/text-embedding-3-small")
    assert archive.id in [each.id async for each in letta.archives.list()]
    made = await letta.archives.passages.create(archive.id, text="quinces ripen late")
    assert made.id in [each.passage.id for each in await letta.passages.search(query="quinces")]
    folder = await letta.folders.create(name="papers", embedding="openai/text-embedding-3-small")
    assert (await letta.folders.retrieve(folder.id)).name == "papers"


async def test_what_was_said_anywhere_is_found_and_each_conversation_keeps_its_own(
    letta: AsyncLetta, agent: AgentState
) -> None:
    await letta.agents.messages.create(agent.id, input="about quinces")
    thread = await letta.conversations.create(agent_id=agent.id)
    events = [e async for e in await letta.conversations.messages.create(thread.id, input="about plums")]
    assert "assistant_message" in [event.message_type for event in events]
    kept = [message async for message in letta.conversations.messages.list(thread.id, order="asc")]
    assert [getattr(message, "content", None) for message in kept] == ["about plums", "ok: about plums"]
    found = [getattr(each, "content", None) for each in await letta.messages.search(query="plums")]
    assert "about plums" in found


async def test_agents_are_listed_changed_copied_emptied_and_deleted(letta: AsyncLetta, agent: AgentState) -> None:
    await letta.agents.messages.create(agent.id, input="quinces")
    assert (await letta.agents.update(agent.id, description="d")).description == "d"
    assert [each.id async for each in letta.agents.list(tags=["flow"], limit=50)] == [agent.id]
    assert await letta.tags.list() == ["flow"]
    file = await letta.agents.export_file(agent.id)
    (copy_id,) = (await letta.agents.import_file(file=("a.af", file.encode()))).agent_ids
    assert len([message async for message in letta.agents.messages.list(copy_id)]) == 2

    assert (await letta.agents.messages.compact(agent.id)).summary
    await letta.agents.messages.reset(agent.id, add_default_initial_messages=True)
    await letta.agents.delete(agent.id)
    with pytest.raises(letta_client.NotFoundError, match=f"Agent with ID {agent.id} not found"):
        await letta.agents.retrieve(agent.id)
