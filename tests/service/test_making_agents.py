"""What making an agent answers is made without reading it back: it has to be what is read afterwards, on each store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_service import clock
from agent_service.store import Store, open_store
from agent_service.stores import agent_lists, agents, attaching, attachments, blocks
from agent_service.stores.rows import Window
from servicekit.paging import Page
from tests.support.keys import ANN, BOB
from triptych.agent.v1.agent_pb2 import Agent, Block, ListAgentsRequest, SleepTimeSettings
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, TriptychError

TENANT = ANN.tenant


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    opened = open_store(dsn)
    yield opened
    await opened.close()


def wanted(*labels: str) -> Agent:
    """With everything set that a client may send, and that which is not its to say."""
    agent = Agent(
        name="ann",
        description="d",
        tags=["a", "b"],
        tools=["memory_insert"],
        blocks=[Block(label=label, value=f"of {label}", tags=["t"], read_only=label == "fixed") for label in labels],
        sleep_time=SleepTimeSettings(enabled=True, every_turns=3, conversation_id="conv-mine"),
    )
    agent.metadata["key"] = {"deep": [1, "two", None]}
    agent.model.handle = "m"
    for time in (agent.create_time, agent.update_time, agent.last_turn_time):
        time.seconds = 1
    for block in agent.blocks:
        block.metadata["of"] = block.label
    return agent


async def test_an_agent_is_answered_as_it_is_read_afterwards(store: Store) -> None:
    made = await store.write(lambda c: agents.create(c, TENANT, wanted("human", "fixed", "persona"), []))
    assert [block.label for block in made.blocks] == ["human", "fixed", "persona"]
    assert not made.HasField("last_turn_time")
    assert made == await store.read(lambda c: agents.get(c, TENANT, made.id))
    page = Window(Page(10, None, descending=True, binding=""))
    listed = await store.read(lambda c: agent_lists.list_page(c, TENANT, ListAgentsRequest(), page))
    assert list(listed.agents) == [made]
    others = await store.read(lambda c: agent_lists.list_page(c, BOB.tenant, ListAgentsRequest(), page))
    assert not others.agents


async def test_blocks_made_with_an_agent_have_their_history_and_their_place(store: Store) -> None:
    made = await store.write(lambda c: agents.create(c, TENANT, wanted("human", "persona"), []))
    human, persona = made.blocks
    was = await store.read(lambda c: attachments.core_memory_as_of(c, TENANT, made.id, clock.now()))
    assert [(each.block_id, each.revision.value) for each in was] == [(b.id, b.value) for b in (human, persona)]
    shared = await store.write(lambda c: blocks.create(c, TENANT, Block(label="shared")))
    await store.write(lambda c: attaching.attach(c, TENANT, made.id, shared.id))
    await store.write(lambda c: attaching.detach(c, TENANT, made.id, human.id))
    now = await store.read(lambda c: agents.get(c, TENANT, made.id))
    assert [block.id for block in now.blocks] == [persona.id, shared.id]


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (["human", "human"], AlreadyExists),
        ([f"l{number}" for number in range(101)], FailedPrecondition),
        (["human", ""], InvalidArgument),
    ],
)
async def test_an_agent_whose_blocks_can_not_be_is_not_made(
    store: Store, labels: list[str], error: type[TriptychError]
) -> None:
    with pytest.raises(error):
        await store.write(lambda c: agents.create(c, TENANT, wanted(*labels), []))
    assert await store.read(lambda c: agent_lists.count(c, TENANT)) == 0
    assert await store.read(lambda c: blocks.count(c, TENANT)) == 0
