"""Journals as both backends thin them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_service import clock
from agent_service.store import Store, open_store
from agent_service.stores import agents, thinning, turns
from agent_service.stores.turns import Claimed
from agent_service.thinning import Thinner
from servicekit.principal import Tenant
from tests.support.keys import ANN, BOB
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2 import Agent
from triptych.agent.v1.turn_pb2 import InputMessage, StartTurnRequest, TurnEvent
from triptych.recall.v1.recall_pb2 import Message


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    opened = open_store(dsn)
    yield opened
    await opened.close()


async def begun(store: Store, tenant: Tenant) -> Claimed:
    agent = await store.write(lambda c: agents.create(c, tenant, Agent(), []))
    request = StartTurnRequest(agent_id=agent.id, request_id="r", max_steps=7, messages=[InputMessage(text="hello")])
    claimed = (await store.write(lambda c: turns.accept(c, tenant, request, "me", idle=True))).claimed
    assert claimed is not None
    return claimed


async def end(store: Store, tenant: Tenant, claimed: Claimed) -> None:
    turn = claimed.record.turn
    turn.state = turn_pb2.TURN_STATE_COMPLETED
    turn.end_time.CopyFrom(clock.timestamp(clock.now()))
    answer = TurnEvent(sequence=2, message=Message(id="message-1", text="quince", step_id="step-1"))
    await store.write(lambda c: turns.commit(c, tenant, claimed.lease, turn, [answer]))


async def test_only_what_has_ended_and_recall_has_is_thinned_and_once(store: Store) -> None:
    ann, bob = [(await begun(store, tenant), tenant) for tenant in (ANN.tenant, BOB.tenant)]
    thinner = Thinner(store, 0)
    assert await thinner.thin() == 0, "they run"
    for claimed, tenant in (ann, bob):
        await end(store, tenant, claimed)
    assert await thinner.thin() == 0, "recall does not have them"
    turn_id = ann[0].record.turn.id
    await store.write(lambda c: turns.recall_acknowledged(c, ANN.tenant, [turn_id]))
    assert await Thinner(store, 60).thin() == 0, "they have just ended"
    assert await thinner.thin() == 1
    assert await thinner.thin() == 0

    record, events = await store.read(
        lambda c: (turns.get(c, ANN.tenant, turn_id), turns.events(c, ANN.tenant, turn_id))
    )
    assert record.thinned
    assert [event.sequence for event in events] == [1, 2]
    assert (events[1].message.id, events[1].message.text) == ("message-1", "")
    assert events[0].accepted.messages[0].id
    assert not events[0].accepted.messages[0].text
    assert record.request == StartTurnRequest(agent_id=ann[0].agent.id, request_id="r", max_steps=7)
    kept = await store.read(lambda c: turns.events(c, BOB.tenant, bob[0].record.turn.id))
    assert kept[1].message.text == "quince"


async def test_of_a_turn_that_is_gone_nothing_is_thinned(store: Store) -> None:
    gone = thinning.Wordy(ANN.tenant, "run-1", "agent-1", "conv-1", b"")
    await store.write(lambda c: thinning.thin(c, gone, [TurnEvent(sequence=1)]))
    assert await store.read(lambda c: turns.find(c, ANN.tenant, "run-1")) is None
