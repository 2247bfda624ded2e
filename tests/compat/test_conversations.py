"""Conversations, as letta-client asks for them."""

from __future__ import annotations

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
