"""What went wrong on the server that letta-client programs come from, by the same calls: here it does not.

Each of these was seen there: a second turn overwrote the first's window, a second writer the first's block, a message
sent twice was stored twice, limits held nobody back, and searches found substrings or answered with an error.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta

from tests.support.door import Door
from tests.support.recall import eventually
from tests.support.scripted_model import ScriptedModel, asks_for_summary

_MANY = 8
_HUMAN: Any = [{"label": "human", "value": ""}]


def _insert(line: str) -> str:
    return f"[[call:memory_insert {json.dumps({'label': 'human', 'new_string': line})}]] note"


async def _texts(letta: AsyncLetta, agent_id: str) -> list[str]:
    """What was said, oldest first, without calls and what they returned."""
    said = [message async for message in letta.agents.messages.list(agent_id, limit=1000, order="asc")]
    return [
        str(getattr(each, "content", "")) for each in said if each.message_type in ("user_message", "assistant_message")
    ]


async def test_parallel_turns_of_one_agent_are_queued_and_all_kept_in_order(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    agent = await letta.agents.create(name="a")
    said = [f"number {number}" for number in range(_MANY)]
    replies = await asyncio.gather(*(letta.agents.messages.create(agent.id, input=text) for text in said))
    assert sorted(str(getattr(reply.messages[-1], "content", "")) for reply in replies) == [f"ok: {t}" for t in said]
    kept = await _texts(letta, agent.id)
    assert sorted(kept[::2]) == said
    assert kept[1::2] == [f"ok: {text}" for text in kept[::2]]
    await letta.agents.messages.create(agent.id, input="last")
    seen = [m["content"] for m in model.requests[-1]["messages"] if m["role"] in ("user", "assistant")]
    places = [next(place for place, text in enumerate(seen) if text.endswith(each)) for each in kept]
    assert places == sorted(places), "all of it stands in the window, in the order in which it was said"


async def test_parallel_edits_of_one_block_all_survive(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", memory_blocks=_HUMAN)
    threads = [await letta.conversations.create(agent_id=agent.id) for _ in range(_MANY)]

    async def edit(number: int) -> None:
        async for _ in await letta.conversations.messages.create(threads[number].id, input=_insert(f"line {number}")):
            pass

    await asyncio.gather(*(edit(number) for number in range(_MANY)))
    lines = (await letta.agents.blocks.retrieve("human", agent_id=agent.id)).value.split("\n")
    assert sorted(line for line in lines if line) == [f"line {number}" for number in range(_MANY)]


async def test_parallel_edits_of_a_shared_block_by_as_many_agents_all_survive(letta: AsyncLetta) -> None:
    shared = await letta.blocks.create(label="human", value="")
    agents = [await letta.agents.create(name=f"a{n}", block_ids=[shared.id]) for n in range(_MANY)]
    await asyncio.gather(
        *(letta.agents.messages.create(agent.id, input=_insert(f"line {n}")) for n, agent in enumerate(agents))
    )
    lines = (await letta.blocks.retrieve(shared.id)).value.split("\n")
    assert sorted(line for line in lines if line) == [f"line {number}" for number in range(_MANY)]


async def test_the_same_otid_twice_is_one_message_with_one_answer(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    said: Any = [{"role": "user", "content": "hello", "otid": "once"}]
    first = await letta.agents.messages.create(agent.id, messages=said)
    again = await letta.agents.messages.create(agent.id, messages=said)
    assert [message.id for message in again.messages] == [message.id for message in first.messages]
    assert await _texts(letta, agent.id) == ["hello", "ok: hello"]
    assert len(model.requests) == 1
    at_once: Any = [{"role": "user", "content": "hello", "otid": "at once"}]
    replies = await asyncio.gather(*(letta.agents.messages.create(agent.id, messages=at_once) for _ in range(_MANY)))
    assert len({reply.messages[-1].id for reply in replies}) == 1
    assert Counter(await _texts(letta, agent.id))["hello"] == 2


async def test_a_blocks_limit_holds_for_the_api_and_for_the_agent(letta: AsyncLetta) -> None:
    with pytest.raises(letta_client.UnprocessableEntityError, match="5"):
        await letta.blocks.create(label="short", value="123456", limit=5)
    with pytest.raises(letta_client.UnprocessableEntityError):
        await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": "123456", "limit": 5}])
    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": "1234", "limit": 5}])
    with pytest.raises(letta_client.UnprocessableEntityError, match="5"):
        await letta.agents.blocks.update("human", agent_id=agent.id, value="123456")
    with pytest.raises(letta_client.UnprocessableEntityError, match="5"):
        await letta.blocks.update(agent.blocks[0].id, value="123456")
    reply = await letta.agents.messages.create(agent.id, input=_insert("too long"))
    assert [m.status for m in reply.messages if m.message_type == "tool_return_message"] == ["error"]
    assert reply.stop_reason.stop_reason == "end_turn"
    assert (await letta.agents.blocks.retrieve("human", agent_id=agent.id)).value == "1234"


async def test_a_read_only_block_is_written_by_nobody(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", memory_blocks=[{"label": "human", "value": "Ann", "read_only": True}])
    with pytest.raises(letta_client.UnprocessableEntityError, match="read-only"):
        await letta.agents.blocks.update("human", agent_id=agent.id, value="Bea")
    with pytest.raises(letta_client.UnprocessableEntityError, match="read-only"):
        await letta.blocks.update(agent.blocks[0].id, value="Bea")
    reply = await letta.agents.messages.create(agent.id, input=_insert("Bea"))
    assert [m.status for m in reply.messages if m.message_type == "tool_return_message"] == ["error"]
    assert (await letta.blocks.retrieve(agent.blocks[0].id)).value == "Ann"


@pytest.mark.parametrize("header", ["user_id", "user-id", "X-User-Id"])
async def test_a_header_that_names_a_user_is_ignored(door: Door, header: str) -> None:
    async with door.client() as admin:
        ann, bob = [await admin.users.create(uuid.uuid4().hex) for _ in range(2)]
        ann_key, bob_key = [(await admin.keys.create(user.name)).secret for user in (ann, bob)]
    async with AsyncLetta(base_url=door.http_url, api_key=ann_key) as letta:
        agent = await letta.agents.create(name="mine")
    named = {header: ann.id}
    async with AsyncLetta(base_url=door.http_url, api_key=bob_key, default_headers=named) as letta:
        with pytest.raises(letta_client.NotFoundError):
            await letta.agents.retrieve(agent.id)
        assert [each.id async for each in letta.agents.list()] == []
    async with AsyncLetta(base_url=door.http_url, api_key="no key", default_headers=named) as letta:
        with pytest.raises(letta_client.AuthenticationError):
            await letta.agents.retrieve(agent.id)


async def test_what_was_said_is_found_by_its_words_in_any_order_and_by_its_sense(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    for text in ("My sister Ruth grows quinces behind her house", "The train to Oslo leaves at nine"):
        await letta.agents.messages.create(agent.id, input=text)
    call = '[[call:conversation_search {"query": "house quinces sister", "limit": 1}]] where?'
    reply = await letta.agents.messages.create(agent.id, input=call)
    (returned,) = [m for m in reply.messages if m.message_type == "tool_return_message"]
    assert "behind her house" in str(returned.tool_return)

    async def by_sense() -> list[str]:
        found = await letta.messages.search(query="departure of the railway", limit=2)
        return [str(getattr(message, "content", "")) for message in found]

    # Vectors follow the messages from an outbox: a moment later, or more on a busy machine.
    await eventually(by_sense, lambda found: any("The train to Oslo" in each for each in found))


async def test_searches_and_lists_that_were_errors_there_answer(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    await letta.agents.messages.create(agent.id, input="quinces")
    assert "quinces" in [getattr(each, "content", None) for each in await letta.messages.search(query="quinces")]
    assert [step.agent_id async for step in letta.steps.list(agent_id=agent.id)] == [agent.id]


async def test_a_conversation_longer_than_the_window_goes_on_though_no_summary_can_be_had(
    letta: AsyncLetta, model: ScriptedModel
) -> None:
    model.context_window, model.summary = 4_000, ""
    agent = await letta.agents.create(
        name="a", context_window_limit=4_000, system="You are a test.", include_base_tools=False
    )
    for number in range(8):
        reply = await letta.agents.messages.create(agent.id, input=f"turn {number} " + "word " * 500)
        assert reply.stop_reason.stop_reason == "end_turn"
    assert any(asks_for_summary(request) for request in model.requests), "the window was full"
    assert len(await _texts(letta, agent.id)) == 16


@pytest.mark.parametrize(
    "printed",
    [
        '<tool_call>\n{"name": "memory_insert", "arguments": {"label": "human", "new_string": "Ann"}}\n</tool_call>',
        '```json\n{"name": "memory_insert", "arguments": {"label": "human", "new_string": "Ann"}}\n```',
    ],
    ids=["tags", "fence"],
)
async def test_a_call_that_a_local_model_prints_as_text_is_made(
    letta: AsyncLetta, model: ScriptedModel, printed: str
) -> None:
    # A model whose endpoint has never made a call: of one that has, text is text.
    agent = await letta.agents.create(name="a", model=f"local-{uuid.uuid4()}", memory_blocks=_HUMAN)
    model.printed = [printed]
    reply = await letta.agents.messages.create(agent.id, input="note my name")
    assert "tool_call_message" in [message.message_type for message in reply.messages]
    assert (await letta.agents.blocks.retrieve("human", agent_id=agent.id)).value.strip() == "Ann"
