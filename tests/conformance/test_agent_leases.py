"""The lease of a conversation as both backends keep it: who had it before can write nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_service.store import Store, open_store
from agent_service.stores import agents, turns
from agent_service.stores.turns import Claimed
from tests.support.keys import ANN
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2 import Agent
from triptych.agent.v1.turn_pb2 import InputMessage, StartTurnRequest, TextDelta, TurnEvent
from triptych.errors import FailedPrecondition, NotFound
from triptych.type.v1 import type_pb2

TENANT = ANN.tenant


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    opened = open_store(dsn)
    yield opened
    await opened.close()


async def claimed(store: Store) -> Claimed:
    """A turn that the process `one` runs."""
    agent = await store.write(lambda c: agents.create(c, TENANT, Agent(), []))
    request = StartTurnRequest(agent_id=agent.id, request_id="r", messages=[InputMessage(text="hello")])
    accepted = await store.write(lambda c: turns.accept(c, TENANT, request, "one", idle=True))
    assert accepted.claimed is not None
    return accepted.claimed


def event(sequence: int) -> TurnEvent:
    return TurnEvent(sequence=sequence, text_delta=TextDelta(text=f"event {sequence}"))


async def test_who_had_the_lease_before_can_journal_nothing_and_end_nothing(store: Store) -> None:
    before = await claimed(store)
    turn = before.record.turn
    await store.write(lambda c: turns.commit(c, TENANT, before.lease, turn, [event(2)]))
    after = await store.write(lambda c: turns.claim(c, TENANT, turn.id, "other"))
    assert after is not None
    assert after.lease.fence > before.lease.fence
    ended = turn_pb2.Turn()
    ended.CopyFrom(turn)
    ended.state = turn_pb2.TURN_STATE_COMPLETED
    for late in (turn, ended):
        with pytest.raises(FailedPrecondition) as refused:
            await store.write(lambda c, late=late: turns.commit(c, TENANT, before.lease, late, [event(3)]))
        assert refused.value.reason == type_pb2.ERROR_REASON_FENCED
    await store.write(lambda c: turns.commit(c, TENANT, after.lease, turn, [event(3)]))
    assert [each.sequence for each in await store.read(lambda c: turns.events(c, TENANT, turn.id))] == [1, 2, 3]
    assert (await store.read(lambda c: turns.get(c, TENANT, turn.id))).live


async def test_who_takes_the_lease_again_has_a_newer_fence(store: Store) -> None:
    turn = (await claimed(store)).record.turn
    fences = []
    for claimant in ("one", "other", "one"):
        again = await store.write(lambda c, claimant=claimant: turns.claim(c, TENANT, turn.id, claimant))
        assert again is not None
        fences.append(again.lease.fence)
    assert fences == [1, 2, 3]


async def test_of_a_deleted_agent_nothing_is_journalled(store: Store) -> None:
    held = await claimed(store)
    await store.write(lambda c: agents.remove(c, TENANT, held.agent.id))
    with pytest.raises(FailedPrecondition) as refused:
        await store.write(lambda c: turns.commit(c, TENANT, held.lease, held.record.turn, [event(2)]))
    assert refused.value.reason == type_pb2.ERROR_REASON_FENCED
    with pytest.raises(NotFound):
        await store.read(lambda c: turns.get(c, TENANT, held.record.turn.id))
