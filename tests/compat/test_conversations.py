"""Conversations, as letta-client asks for them."""

from __future__ import annotations

from typing import Any

import letta_client
import pytest
from letta_client import AsyncLetta

from tests.support.scripted_model import ScriptedModel


async def test_a_conversation_is_renamed_forked_and_deleted(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    first = await letta.conversations.create(agent_id=agent.id)
    async for _ in await letta.conversations.messages.create(first.id, input="quinces"):
        pass
    assert (await letta.conversations.update(first.id, summary="fruit")).summary == "fruit"

    fork = await letta.conversations.fork(first.id)
    await letta.conversations.delete(first.id)
    with pytest.raises(letta_client.NotFoundError):
        await letta.conversations.retrieve(first.id)
    async for _ in await letta.conversations.messages.create(fork.id, input="plums"):
        pass
    # The fork goes on from what was said before, though that conversation is gone.
    assert "quinces" in str(model.requests[-1]["messages"])


async def test_cancelling_a_conversation_leaves_the_agents_others_alone(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    await letta.agents.tools.update_approval("memory_insert", agent_id=agent.id, body_requires_approval=True)
    call = '[[call:memory_insert {"label": "human", "new_string": "x"}]] note it'
    waiting = [await letta.conversations.create(agent_id=agent.id) for _ in range(2)]
    for conversation in waiting:
        async for _ in await letta.conversations.messages.create(conversation.id, input=call):
            pass
    await letta.conversations.cancel(waiting[0].id)
    async for _ in await letta.conversations.messages.create(waiting[0].id, input="free again"):
        pass
    with pytest.raises(letta_client.ConflictError):
        await letta.with_options(max_retries=0).conversations.messages.create(waiting[1].id, input="still waits")


async def test_default_and_an_agents_id_are_its_own_conversation(letta: AsyncLetta, model: ScriptedModel) -> None:
    agent = await letta.agents.create(name="a")
    mine = {"agent_id": agent.id}
    await letta.agents.messages.create(agent.id, input="quinces")
    async for _ in await letta.conversations.messages.create("default", input="plums", **mine):
        pass
    async for _ in await letta.conversations.messages.create(agent.id, input="pears"):
        pass
    listed = [said async for said in letta.agents.messages.list(agent.id, order="asc")]
    texts = [said.content for said in listed if said.message_type == "user_message"]
    assert texts == ["quinces", "plums", "pears"]
    for conversation, more in (("default", mine), (agent.id, {})):
        listed = [said.id async for said in letta.conversations.messages.list(conversation, **more)]
        assert listed == [said.id async for said in letta.agents.messages.list(agent.id)]
        again = [event async for event in await letta.conversations.messages.stream(conversation, **more)]
        assert "pears" in str(again)
        fork = await letta.conversations.fork(conversation, **more)
        async for _ in await letta.conversations.messages.create(fork.id, input="and?"):
            pass
        assert "pears" in str(model.requests[-1]["messages"])
        assert agent.system in await letta.conversations.recompile(conversation, **more)
        assert await letta.conversations.cancel(conversation, **more) == {}
        assert (await letta.conversations.messages.compact(conversation, **more)).num_messages_after >= 0
    assert (await letta.conversations.retrieve(agent.id)).agent_id == agent.id


async def test_those_that_were_made_are_listed(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a", enable_sleeptime=True)
    assert await letta.conversations.list(agent_id=agent.id) == []
    made = await letta.conversations.create(agent_id=agent.id, summary="plans")
    fork = await letta.conversations.fork(made.id)
    await letta.agents.messages.create(agent.id, input="in its own")
    for listed in (await letta.conversations.list(agent_id=agent.id), await letta.conversations.list()):
        assert {each.id for each in listed} == {made.id, fork.id}
    own = [each.id async for each in letta.agents.messages.list(agent.id)]
    assert len(own) == 2
    assert own == [each.id async for each in letta.agents.messages.list(agent.id, conversation_id="default")]


@pytest.mark.parametrize("part", [{"message_id": "message-1"}, {"hidden": True}])
async def test_a_fork_of_a_part_or_out_of_sight_is_refused_in_words(letta: AsyncLetta, part: Any) -> None:
    agent = await letta.agents.create(name="a")
    made = await letta.conversations.create(agent_id=agent.id)
    with pytest.raises(letta_client.InternalServerError, match="a fork has all") as refused:
        await letta.with_options(max_retries=0).conversations.fork(made.id, **part)
    assert refused.value.status_code == 501
    assert [each.id for each in await letta.conversations.list(agent_id=agent.id)] == [made.id]


async def test_default_says_whose_it_is(letta: AsyncLetta) -> None:
    with pytest.raises(letta_client.UnprocessableEntityError, match="agent_id"):
        await letta.conversations.cancel("default")
    nobody = "agent-00000000-0000-4000-8000-000000000000"
    with pytest.raises(letta_client.NotFoundError):
        await letta.conversations.cancel("default", agent_id=nobody)
    with pytest.raises(letta_client.NotFoundError):
        await letta.conversations.cancel(nobody)


async def test_a_conversation_answers_as_a_whole_if_it_is_not_to_stream(letta: AsyncLetta) -> None:
    agent = await letta.agents.create(name="a")
    raw = await letta.conversations.messages.with_raw_response.create(agent.id, input="quinces", streaming=False)
    whole = await raw.json()
    assert whole["stop_reason"]["stop_reason"] == "end_turn"
    assert whole["messages"][-1]["message_type"] == "assistant_message"
