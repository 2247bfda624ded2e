"""Guests of agents: other users of the account, each with a conversation of its own. The conversation is the share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from agent_service import clock
from agent_service.stores import agents, conversation_removal, conversations
from agent_service.stores.rows import owned
from agent_service.stores.tables import conversations as table
from servicekit import ids
from servicekit.principal import Tenant
from triptych.agent.v1.sharing_pb2 import AgentShare, SharedAgent
from triptych.errors import FailedPrecondition, InvalidArgument, NotFound

MAX_SHARES = 1_000


def share(connection: Connection, tenant: Tenant, agent_id: str, guest_id: str) -> AgentShare:
    """Raises: NotFound (agent); InvalidArgument for what is no user's id; FailedPrecondition at 1,000 guests."""
    agents.get(connection, tenant, agent_id)
    if not ids.valid("user", guest_id):
        raise InvalidArgument.of("user_id", "must be the id of a user of this account")
    if len(shares(connection, tenant, agent_id)) >= MAX_SHARES:
        raise FailedPrecondition(f"an agent is shared with at most {MAX_SHARES:,} users")
    conversation_id = conversation_of(tenant, agent_id, guest_id)
    here = owned(table, tenant) & (table.c.id == conversation_id)
    if connection.execute(select(table.c.id).where(here)).first() is None:
        conversations.insert_row(connection, tenant, conversation_id, agent_id, "", clock.now())
    connection.execute(update(table).where(here).values(guest_id=guest_id, guest_until=None, made=True))
    return _to_share(connection.execute(select(table).where(here)).one())


def shares(connection: Connection, tenant: Tenant, agent_id: str) -> list[AgentShare]:
    """Those that hold, oldest first."""
    query = select(table).where(owned(table, tenant), table.c.agent_id == agent_id, *_HOLDS)
    return [_to_share(row) for row in connection.execute(query.order_by(table.c.created_at, table.c.id))]


def conversation_of(tenant: Tenant, agent_id: str, guest_id: str) -> str:
    return ids.derived("conv", *tenant, agent_id, guest_id)


def revoke(connection: Connection, tenant: Tenant, agent_id: str, guest_id: str) -> None:
    """The conversation stays a guest's in what its turns may do. Raises: NotFound."""
    here = owned(table, tenant) & (table.c.agent_id == agent_id) & (table.c.guest_id == guest_id)
    if connection.execute(select(table.c.id).where(here, *_HOLDS)).first() is None:
        raise NotFound("share", guest_id)
    connection.execute(update(table).where(here).values(guest_until=clock.now()))


def shared_with(connection: Connection, guest: Tenant) -> list[SharedAgent]:
    """The agents that others share with the guest, oldest first."""
    rows = connection.execute(
        select(table).where(_of_guest(guest), *_HOLDS).order_by(table.c.created_at, table.c.id).limit(MAX_SHARES)
    ).all()
    found = []
    for row in rows:
        agent = agents.get(connection, Tenant(row.account_id, row.user_id), row.agent_id)
        made = clock.timestamp(row.created_at)
        found.append(SharedAgent(agent_id=agent.id, name=agent.name, description=agent.description, create_time=made))
    return found


def place(connection: Connection, guest: Tenant, agent_id: str) -> tuple[Tenant, str]:
    """Whose the agent is, and the guest's conversation with it. Raises: NotFound, as for an agent that is not there."""
    query = select(table).where(_of_guest(guest), table.c.agent_id == agent_id, *_HOLDS)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("agent", agent_id)
    return Tenant(row.account_id, row.user_id), row.id


def conversations_of(connection: Connection, tenant: Tenant, agent_id: str) -> frozenset[str]:
    """All that guests have, or had, with the owner's agent."""
    query = select(table.c.id).where(owned(table, tenant), table.c.agent_id == agent_id, table.c.guest_id.is_not(None))
    return frozenset(connection.execute(query).scalars())


def left_by(connection: Connection, guest: Tenant) -> Sequence[tuple[Tenant, str]]:
    """All that the guest has, or had, with agents of others: their owners, and the conversations' ids."""
    rows = connection.execute(select(table).where(_of_guest(guest))).all()
    return [(Tenant(row.account_id, row.user_id), row.id) for row in rows]


def purge(connection: Connection, guest: Tenant) -> int:
    """Deletes them. Gives their number."""
    left = left_by(connection, guest)
    for owner, conversation_id in left:
        conversation_removal.remove(connection, owner, conversation_id)
    return len(left)


_HOLDS = (table.c.guest_id.is_not(None), table.c.guest_until.is_(None))


def _of_guest(guest: Tenant) -> ColumnElement[bool]:
    return (table.c.account_id == guest.account_id) & (table.c.guest_id == guest.user_id)


def _to_share(row: Row[Any]) -> AgentShare:
    return AgentShare(
        agent_id=row.agent_id,
        user_id=row.guest_id,
        conversation_id=row.id,
        create_time=clock.timestamp(row.created_at),
    )
