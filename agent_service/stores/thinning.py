"""Turns whose journal still has the words that recall has too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from agent_service.stores.rows import owned
from agent_service.stores.tables import journal, turns
from servicekit.principal import Tenant
from triptych.agent.v1.turn_pb2 import StartTurnRequest, TurnEvent

_WRITE_EVENT = (
    update(journal)
    .where(
        journal.c.account_id == bindparam("of_account"),
        journal.c.user_id == bindparam("of_user"),
        journal.c.turn_id == bindparam("of_turn"),
        journal.c.sequence == bindparam("at"),
    )
    .values(event=bindparam("thin"))
)


@dataclass(frozen=True)
class Wordy:
    """A turn that has ended, and that recall has all of."""

    tenant: Tenant
    turn_id: str


def due(connection: Connection, ended_before: int, most: int) -> list[Wordy]:
    """Every user's, those that ended first. `ended_before`: microseconds since 1970."""
    query = (
        select(turns.c.account_id, turns.c.user_id, turns.c.id)
        .where(turns.c.words_since <= ended_before, turns.c.recall_pending.is_(False))
        .order_by(turns.c.words_since)
        .limit(most)
    )
    return [Wordy(Tenant(row.account_id, row.user_id), row.id) for row in connection.execute(query)]


def thin(connection: Connection, turn: Wordy, thinned: Sequence[TurnEvent]) -> None:
    """Writes the turn's events as they are to be kept, without the messages of its request."""
    if thinned:
        of_turn = {"of_account": turn.tenant.account_id, "of_user": turn.tenant.user_id, "of_turn": turn.turn_id}
        rows = [{**of_turn, "at": each.sequence, "thin": each.SerializeToString()} for each in thinned]
        connection.execute(_WRITE_EVENT, rows)
    here = (owned(turns, turn.tenant), turns.c.id == turn.turn_id)
    raw = connection.execute(select(turns.c.request).where(*here)).scalar_one_or_none()
    request = StartTurnRequest.FromString(raw or b"")
    request.ClearField("messages")
    connection.execute(update(turns).where(*here).values(request=request.SerializeToString(), words_since=None))
