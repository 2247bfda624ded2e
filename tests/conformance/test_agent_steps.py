"""Steps and views as both backends keep them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from agent_service.store import Store, open_store
from agent_service.stores import agents, conversations, steps, views
from agent_service.stores.rows import Window
from agent_service.stores.steps import Reference
from agent_service.stores.views import View
from servicekit import paging
from tests.support.keys import ANN, BOB
from triptych.agent.v1.agent_pb2 import Agent, CompactionSettings
from triptych.agent.v1.step_pb2 import Step
from triptych.errors import InvalidArgument, NotFound

TENANT = ANN.tenant


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    opened = open_store(dsn)
    yield opened
    await opened.close()


def step(number: int, agent_id: str = "agent-1") -> Step:
    at = Timestamp(seconds=1_700_000_000 + number)
    return Step(
        id=f"step-{number}",
        turn_id=f"run-{number // 2}",
        agent_id=agent_id,
        conversation_id="conv-1",
        number=number,
        create_time=at,
    )


REFERENCE = Reference(
    prompt=["a", "b"],
    summary="",
    tools=["c"],
    first=3,
    messages=5,
    timezone="Europe/Oslo",
    notice_step="",
    revised={"message-1": 2},
    cuts={},
    settings={"model": "m", "temperature": 0.5},
)


async def test_a_step_and_its_texts_are_kept_once_and_only_for_their_owner(store: Store) -> None:
    texts = {"a": "first\0 part", "b": "é" * 10_000}
    await store.write(lambda c: steps.add(c, TENANT, step(1), REFERENCE, texts))
    await store.write(lambda c: steps.add(c, TENANT, step(1), REFERENCE, texts))
    await store.write(lambda c: steps.add(c, TENANT, step(2), REFERENCE, {**texts, "c": "tool"}))
    assert await store.read(lambda c: steps.get(c, TENANT, "step-1")) == (step(1), REFERENCE)
    found = await store.read(lambda c: steps.texts(c, TENANT, step(1), ["a", "b", "c", "d"]))
    assert found == {**texts, "c": "tool"}
    assert await store.read(lambda c: steps.texts(c, BOB.tenant, step(1), ["a"])) == {}
    with pytest.raises(NotFound):
        await store.read(lambda c: steps.get(c, BOB.tenant, "step-1"))
    await store.write(lambda c: steps.remove_of_agent(c, TENANT, "agent-1"))
    assert await store.read(lambda c: steps.texts(c, TENANT, step(1), ["a"])) == {}
    with pytest.raises(NotFound):
        await store.read(lambda c: steps.get(c, TENANT, "step-1"))


async def test_a_conversation_takes_its_steps_and_summaries_with_it_and_no_more(store: Store) -> None:
    with_summary = replace(REFERENCE, summary="s")
    await store.write(lambda c: steps.add(c, TENANT, step(1), with_summary, {"a": "shared", "s": "a summary"}))
    other = step(2)
    other.conversation_id = "conv-2"
    await store.write(lambda c: steps.add(c, TENANT, other, with_summary, {"a": "shared", "s": "a summary"}))
    await store.write(lambda c: steps.remove_of_conversation(c, TENANT, "conv-1"))
    assert await store.read(lambda c: steps.texts(c, TENANT, step(1), ["a", "s"])) == {"a": "shared"}
    assert await store.read(lambda c: steps.texts(c, TENANT, other, ["a", "s"])) == {"a": "shared", "s": "a summary"}
    with pytest.raises(NotFound):
        await store.read(lambda c: steps.get(c, TENANT, "step-1"))


async def test_steps_are_listed_by_agent_and_by_turn_page_by_page(store: Store) -> None:
    for number in range(5):
        made = step(number, f"agent-{number % 2}")
        await store.write(lambda c, made=made: steps.add(c, TENANT, made, REFERENCE, {}))  # type: ignore[misc]

    def page(size: int, token: str = "") -> Window:
        return Window(paging.read(size=size, token=token, query=("q",), newest_first=True))

    found, token = await store.read(lambda c: steps.list_page(c, TENANT, "agent-0", "", page(2)))
    assert [each.number for each in found] == [4, 2]
    found, token = await store.read(lambda c: steps.list_page(c, TENANT, "agent-0", "", page(2, token)))
    assert ([each.number for each in found], token) == ([0], "")
    found, _ = await store.read(lambda c: steps.list_page(c, TENANT, "", "run-1", page(10)))
    assert [each.number for each in found] == [3, 2]


async def test_a_view_is_what_was_written_and_comes_with_the_lease(store: Store) -> None:
    agent = await store.write(lambda c: agents.create(c, TENANT, Agent(), []))
    conversation_id, view = agent.default_conversation_id, View(7, "summary é", "step-1")
    await store.write(lambda c: views.write(c, BOB.tenant, conversation_id, View(9)))
    assert await store.read(lambda c: conversations.view(c, TENANT, conversation_id)) == View()
    await store.write(lambda c: views.write(c, TENANT, conversation_id, view))
    lease = await store.write(lambda c: conversations.claim(c, TENANT, conversation_id, agent.id, "process"))
    assert lease is not None
    assert lease.view == view
    assert (await store.read(lambda c: conversations.get(c, TENANT, conversation_id))).summary_through == 6


@pytest.mark.parametrize("wrong", [{"soft_limit": -0.1}, {"hard_limit": 1.5}, {"evicted_part": float("nan")}])
async def test_compaction_settings_that_keep_no_window_are_refused(store: Store, wrong: dict[str, float]) -> None:
    agent = Agent(compaction=CompactionSettings(**wrong))
    with pytest.raises(InvalidArgument, match="compaction"):
        await store.write(lambda c: agents.create(c, TENANT, agent, []))
