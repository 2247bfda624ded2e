"""Turns whose journal still has the words that recall has too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, null, select, update

from agent_service.stores.rows import mine, of_owner
from agent_service.stores.tables import journal, turns
from servicekit.principal import Tenant
from servicekit.sql.prepared import Prepared
from triptych.agent.v1.turn_pb2 import StartTurnRequest, TurnEvent

_EVENTS = Prepared(select(journal.c.event).where(mine(journal), journal.c.turn_id == bindparam("of_turn")))
_WRITE_EVENT = Prepared(
    update(journal)
    .where(mine(journal), journal.c.turn_id == bindparam("of_turn"), journal.c.sequence == bindparam("at"))
    .values(event=bindparam("thin"))
)
_WRITE_TURN = Prepared(
    update(turns)
    .where(mine(turns), turns.c.id == bindparam("of_turn"))
    .values(request=bindparam("thin"), words_since=null())
)


@dataclass(frozen=True)
class Wordy:
    """A turn that has ended, and that recall has all of. `request`: as stored."""

    tenant: Tenant
    turn_id: str
    agent_id: str
    conversation_id: str
    request: bytes


def due(connection: Connection, ended_before: int, most: int) -> list[Wordy]:
    """Every user's, those that ended first. `ended_before`: microseconds since 1970."""
    query = (
        select(turns)
        .where(turns.c.words_since <= ended_before, turns.c.recall_pending.is_(False))
        .order_by(turns.c.words_since)
        .limit(most)
    )
    return [
        Wordy(Tenant(row.account_id, row.user_id), row.id, row.agent_id, row.conversation_id, row.request)
        for row in connection.execute(query)
    ]


def events(connection: Connection, turn: Wordy) -> list[TurnEvent]:
    """Its journal, in any order."""
    rows = _EVENTS.all(connection, of_owner(turn.tenant, of_turn=turn.turn_id))
    return [TurnEvent.FromString(row.event) for row in rows]


def thin(connection: Connection, turn: Wordy, thinned: Sequence[TurnEvent]) -> None:
    """Writes the turn's events as they are to be kept, without the messages of its request."""
    key = of_owner(turn.tenant, of_turn=turn.turn_id)
    _WRITE_EVENT.run(connection, *({**key, "at": each.sequence, "thin": each.SerializeToString()} for each in thinned))
    request = StartTurnRequest.FromString(turn.request)
    request.ClearField("messages")
    _WRITE_TURN.run(connection, {**key, "thin": request.SerializeToString()})
