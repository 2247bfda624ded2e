"""Turns that are not over, or whose messages recall does not have yet: what somebody has to run, in order.

There are few at any time, and they have an index of their own; for that its condition stands here word for word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, select

from agent_service.stores.rows import owned
from agent_service.stores.tables import conversations, turns
from servicekit.principal import Tenant
from triptych.agent.v1.turn_pb2 import TURN_STATE_QUEUED, TURN_STATE_RUNNING, TURN_STATE_WAITING

# More than may wait in a conversation.
_NEWEST = 100
LIVE = (TURN_STATE_QUEUED, TURN_STATE_RUNNING, TURN_STATE_WAITING)


@dataclass(frozen=True)
class Unfinished:
    """`live`: it is not over. `owner`: the process that has, or last had, its conversation's lease."""

    tenant: Tenant
    turn_id: str
    conversation_id: str
    live: bool
    owner: str | None


def every(connection: Connection) -> list[Unfinished]:
    """Every user's, in the order in which a conversation's have to be run."""
    same = and_(
        conversations.c.account_id == turns.c.account_id,
        conversations.c.user_id == turns.c.user_id,
        conversations.c.id == turns.c.conversation_id,
    )
    query = (
        select(
            turns.c.account_id,
            turns.c.user_id,
            turns.c.id,
            turns.c.conversation_id,
            turns.c.state,
            conversations.c.lease_owner,
        )
        .select_from(turns.outerjoin(conversations, same))
        .where(_unfinished())
        .order_by(turns.c.position)
    )
    return [
        Unfinished(Tenant(row.account_id, row.user_id), row.id, row.conversation_id, row.state in LIVE, row.lease_owner)
        for row in connection.execute(query)
    ]


def any_of(connection: Connection, tenant: Tenant, conversation_id: str) -> bool:
    here = and_(owned(turns, tenant), turns.c.conversation_id == conversation_id)
    return connection.execute(select(turns.c.id).where(_unfinished(), here).limit(1)).first() is not None


def awaits_recall(connection: Connection, tenant: Tenant, conversation_id: str) -> bool:
    """Whether one of its newest turns has ended whose messages recall does not have yet: older ones came before."""
    newest = (
        select(turns.c.recall_pending, turns.c.state)
        .where(owned(turns, tenant), turns.c.conversation_id == conversation_id)
        .order_by(turns.c.position.desc())
        .limit(_NEWEST)
    )
    return any(row.recall_pending and row.state not in LIVE for row in connection.execute(newest))


def live_ids(connection: Connection, tenant: Tenant, *, agent_id: str = "", conversation_id: str = "") -> Sequence[str]:
    """The turns of a user that are not over: all, or those of an agent or of a conversation."""
    query = select(turns.c.id, turns.c.state).where(_unfinished(), owned(turns, tenant))
    if agent_id:
        query = query.where(turns.c.agent_id == agent_id)
    if conversation_id:
        query = query.where(turns.c.conversation_id == conversation_id)
    return [row.id for row in connection.execute(query.order_by(turns.c.position)) if row.state in LIVE]


def _unfinished() -> ColumnElement[Any]:
    states: BindParameter[Any] = bindparam("live_states", list(LIVE), expanding=True, literal_execute=True)
    return turns.c.state.in_(states) | turns.c.recall_pending
