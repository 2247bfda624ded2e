"""The calls of letta-client that no other test here makes: what each gives, and what it left."""

from __future__ import annotations

import asyncio
from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta
from letta_client.types.agents import LettaStreamingResponse

from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel

_SOURCE = 'def roll() -> str:\n    """Rolls."""\n    return "4"\n'


async def test_archives_are_read_changed_and_deleted_with_what_is_in_them(letta: AsyncLetta) -> None:
    archive = await letta.archives.create(name="shelf", embedding="openai/text-embedding-3-small")
    assert (await letta.archives.retrieve(archive.id)).name == "shelf"
    assert (await letta.archives.update(archive.id, name="cupboard")).name == "cupboard"
    made = await letta.archives.passages.create_many(archive.id, passages=[{"text": "one"}, {"text": "two"}])
    assert [passage.text for passage in made] == ["one", "two"]
    await letta.archives.passages.delete(made[0].id or "", archive_id=archive.id)
    agent = await letta.agents.create(name="a")
    await letta.agents.archives.attach(archive.id, agent_id=agent.id)
    assert [passage.text for passage in await letta.agents.passages.list(agent.id)] == ["two"]
    await letta.agents.archives.detach(archive.id, agent_id=agent.id)
    assert await letta.agents.passages.list(agent.id) == []
    await letta.archives.delete(archive.id)
    assert await letta.passages.search(query="two") == []
    with pytest.raises(letta_client.NotFoundError):
        await letta.archives.retrieve(archive.id)


async def test_archives_folders_blocks_and_agents_are_all_on_some_page_once(letta: AsyncLetta) -> None:
    for number in range(5):
        await letta.archives.create(name=f"a{number}", embedding="x")
        await letta.blocks.create(label=f"b{number}", value="v")
        await letta.agents.create(name=f"c{number}")
    for listed in (letta.archives.list, letta.folders.list, letta.blocks.list, letta.agents.list):
        down = [each.id async for each in listed(limit=2, order="desc")]
        up = [each.id async for each in listed(limit=2, order="asc")]
        assert len(down) == len(set(down)) == 5
        assert up == down[::-1]
        before = (await listed(limit=1, order="asc", before=up[3])).items
        assert [each.id for each in before] == [up[2]]
        with pytest.raises(letta_client.UnprocessableEntityError):
            await listed(limit=0)


async def test_blocks_are_changed_and_say_whose_they_are(letta: AsyncLetta, model: ScriptedModel) -> None:
    block = await letta.blocks.create(label="notes", value="old", description="d", tags=["t"], metadata={"a": 1})
    changed = await letta.blocks.update(block.id, value="newest words", limit=777)
    assert (changed.value, changed.limit, changed.description, changed.metadata) == ("newest words", 777, "d", {"a": 1})
    agents = [await letta.agents.create(name=name, block_ids=[block.id]) for name in ("a", "b")]
    having = [agent.id async for agent in letta.blocks.agents.list(block.id, limit=1, order="asc")]
    assert having == [agent.id for agent in agents]
    await letta.agents.blocks.detach(block.id, agent_id=agents[0].id)
    assert [agent.id async for agent in letta.blocks.agents.list(block.id)] == [agents[1].id]
    await letta.agents.messages.create(agents[0].id, input="hello")
    assert "newest words" not in str(model.requests[-1]["messages"][0])
    await letta.blocks.delete(block.id)
    assert [each.label async for each in letta.agents.blocks.list(agents[1].id)] == []


async def test_all_messages_are_listed_over_agents_and_each_is_found_by_its_id(letta: AsyncLetta) -> None:
    for name in ("a", "b"):
        await letta.agents.messages.create((await letta.agents.create(name=name)).id, input=f"by {name}")
    said = await letta.messages.list(order="asc")
    texts = [getattr(message, "content", None) for message in said]
    assert texts == ["by a", "ok: by a", "by b", "ok: by b"]
    (one,) = await letta.messages.retrieve(said[2].id)
    assert getattr(one, "content", None) == "by b"
    behind = await letta.messages.list(order="asc", after=said[1].id, limit=1)
    assert [message.id for message in behind] == [said[2].id]


async def test_a_turn_is_cancelled_and_its_message_kept(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    run = await letta.agents.messages.create_async(agent.id, input="[[wait]] hello")
    assert await asyncio.to_thread(model.waiting.wait, 20)
    assert await letta.agents.messages.cancel(agent.id) == {run.id: "cancelled"}
    ended = await letta.runs.retrieve(run.id)
    assert (ended.status, ended.stop_reason) == ("cancelled", "cancelled")
    kept = [message async for message in letta.agents.messages.list(agent.id)]
    assert [getattr(message, "content", None) for message in kept] == ["[[wait]] hello"]


async def test_what_a_run_used_is_told_as_the_turn_told_it(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    reply = await letta.agents.messages.create(agent.id, input="hello")
    used = await letta.runs.usage.retrieve(reply.messages[0].run_id or "")
    assert (used.total_tokens, used.prompt_tokens) == (reply.usage.total_tokens, reply.usage.prompt_tokens)


async def _rejoined(stream: Any) -> list[Any]:
    return [event async for event in await stream]


async def test_a_stream_is_rejoined_behind_what_was_seen(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    call = '[[call:conversation_search {"query": "x"}]] [[wait:1]] look'
    seen: list[LettaStreamingResponse] = []
    stream = await letta.agents.messages.create(agent.id, input=call, streaming=True, background=True)
    async for event in stream:
        seen.append(event)
        if event.message_type == "tool_return_message":
            break
    await stream.close()
    run_id, last = seen[-1].run_id or "", getattr(seen[-1], "seq_id", 0)
    model.release()
    behind: Any = await letta.post(
        f"/v1/runs/{run_id}/stream",
        cast_to=object,
        body={"starting_after": last},
        stream=True,
        stream_cls=letta_client.AsyncStream[LettaStreamingResponse],
    )
    kinds = list(dict.fromkeys([event.message_type async for event in behind]))
    assert kinds == ["ping", "assistant_message", "stop_reason", "usage_statistics"]
    whole = await _rejoined(letta.runs.messages.stream(run_id))
    assert [event.message_type for event in whole][1:3] == ["tool_call_message", "tool_return_message"]


async def test_conversations_are_read_compacted_and_rejoined(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    conversation = await letta.conversations.create(agent_id=agent.id, summary="fruit")
    for text in ("quinces", "plums"):
        async for _ in await letta.conversations.messages.create(conversation.id, input=text):
            pass
    assert (await letta.conversations.retrieve(conversation.id)).summary == "fruit"
    newest = await _rejoined(letta.conversations.messages.stream(conversation.id))
    assert "ok: plums" in [getattr(event, "content", None) for event in newest]
    folded = await letta.conversations.messages.compact(conversation.id, compaction_settings={"mode": "all"})
    assert (folded.num_messages_before, folded.num_messages_after) == (4, 0)
    assert len([m async for m in letta.conversations.messages.list(conversation.id)]) == 4


async def test_a_tool_is_made_or_changed_by_its_name(letta: AsyncLetta) -> None:
    with pytest.raises(letta_client.UnprocessableEntityError, match="TRIPTYCH_PYTHON_TOOLS"):
        await letta.tools.upsert(source_code=_SOURCE)
    schema = {"name": "look_up", "description": "one", "parameters": {"type": "object", "properties": {}}}
    ids = set()
    for description in ("one", "two"):
        made: Any = await letta.put(
            "/v1/tools", cast_to=object, body={"json_schema": schema, "description": description}
        )
        ids.add(made["id"])
    assert len(ids) == 1
    assert (await letta.tools.retrieve(ids.pop())).description == "two"


async def test_the_model_that_embeds_is_named(letta: AsyncLetta) -> None:
    (model,) = await letta.models.embeddings.list()
    archive = await letta.archives.create(name="a", embedding=model.handle or "")
    assert archive.embedding_config is not None
    assert archive.embedding_config.embedding_dim == model.embedding_dim > 0


async def test_runs_are_listed_by_what_became_of_them(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    await letta.agents.messages.create(agent.id, input="hello")
    with pytest.raises(letta_client.APIStatusError):
        await letta.with_options(max_retries=0).agents.messages.create(agent.id, input="[[status:401]] no")
    live = await letta.agents.messages.create_async(agent.id, input="[[wait]] behind")

    async def of(status: str) -> int:
        return len([run async for run in letta.runs.list(agent_id=agent.id, statuses=[status])])

    assert [await of("completed"), await of("failed")] == [1, 1]
    assert [run.id async for run in letta.runs.list(agent_id=agent.id, active=True)] == [live.id]
    model.release()
    await eventually(lambda: of("completed"), lambda count: count == 2)
    assert [run.id async for run in letta.runs.list(active=True)] == []


async def test_an_agent_without_archives_has_no_passages_and_reaches_no_others(letta: AsyncLetta) -> None:
    other = await letta.agents.create(name="other")
    (kept,) = await letta.agents.passages.create(other.id, text="The safe's number is 4711")
    agent = await letta.agents.create(name="bare")
    shown = await letta.agents.retrieve(agent.id)
    for archive_id in shown.model_extra["archive_ids"]:
        await letta.agents.archives.detach(archive_id, agent_id=agent.id)
    call = '[[call:archival_memory_search {"query": "number of the safe"}]] go'
    reply = await letta.agents.messages.create(agent.id, input=call)
    assert "4711" not in str(reply.messages)
    call = '[[call:archival_memory_insert {"content": "x"}]] go'
    reply = await letta.agents.messages.create(agent.id, input=call)
    assert "no archive is attached" in str(reply.messages)
    assert await letta.agents.passages.list(agent.id) == []
    assert (await letta.agents.passages.search(agent.id, query="safe")).count == 0
    assert await letta.passages.search(query="safe", agent_id=agent.id) == []
    assert [each async for each in letta.agents.files.list(agent.id)] == []
    with pytest.raises(letta_client.NotFoundError):
        await letta.agents.passages.delete(kept.id, agent_id=agent.id)
    with pytest.raises(letta_client.APIStatusError, match="no archive"):
        await letta.agents.passages.create(agent.id, text="x")
    assert [each.text for each in await letta.agents.passages.list(other.id)] == [kept.text]
