"""A store of an older version is brought up to date with all that is in it."""

from __future__ import annotations

from agent_service.store import MIGRATIONS, open_store
from agent_service.stores import agents, conversations, sleeps
from agent_service.stores.rows import Window
from servicekit import paging
from tests.support.keys import ANN
from tests.support.migrations import back_to
from triptych.agent.v1.agent_pb2 import Agent, Conversation, ListConversationsRequest

TENANT = ANN.tenant


async def test_of_conversations_of_before_it_is_known_which_were_made(dsn: str) -> None:
    store = open_store(dsn)
    agent = await store.write(lambda c: agents.create(c, TENANT, Agent(), []))
    wanted = Conversation(agent_id=agent.id, title="plans")
    made = await store.write(lambda c: conversations.create(c, TENANT, wanted))
    await store.write(lambda c: sleeps.ensure_conversation(c, TENANT, agent.id))
    await store.close()
    back_to("0012", dsn, MIGRATIONS)
    store = open_store(dsn)
    try:
        window = Window(paging.read(size=10, token="", query=()))
        for request, number in ((ListConversationsRequest(without_default=True), 1), (ListConversationsRequest(), 3)):
            found, _ = await store.read(lambda c, r=request: conversations.list_page(c, TENANT, r, window))
            assert len(found) == number
            assert made in found
    finally:
        await store.close()
