"""Reads a turn's journal from the store, whole or thinned."""

from __future__ import annotations

from sqlalchemy import Connection

from agent_service.stores import turns
from agent_service.stores.turns import TurnRecord
from agent_service.turns import sleeping, words
from agent_service.turns.parts import Parts
from servicekit.principal import Principal, Tenant
from triptych.agent.v1.turn_pb2 import TurnEvent


async def journalled(
    parts: Parts, tenant: Tenant, turn_id: str, after_sequence: int = 0, most: int | None = None
) -> tuple[TurnRecord, list[TurnEvent]]:
    """A turn, and its journal's events behind a number, at most so many; of a thinned one with the words of recall.

    Raises: NotFound; Unavailable, DeadlineExceeded if recall is needed and away.
    """

    def work(connection: Connection) -> tuple[TurnRecord, list[TurnEvent]]:
        record = turns.get(connection, tenant, turn_id)
        # What an event is about may stand in an earlier one.
        whole = record.thinned
        found = turns.events(connection, tenant, turn_id, 0 if whole else after_sequence, None if whole else most)
        return record, found

    record, events = await parts.store.read(work)
    if not record.thinned or sleeping.is_sleeping(record.turn):
        return record, events
    filled = await words.again(parts.tiers, Principal(tenant), events)
    return record, [event for event in filled if event.sequence > after_sequence][:most]
