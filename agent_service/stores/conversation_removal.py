"""Deleting a conversation: all that this service has of it, and a note of what recall has to purge."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from agent_service.stores import agents, conversations, sleeps, steps
from agent_service.stores.rows import owned, owner
from agent_service.stores.tables import conversation_cleanups, journal, turns
from agent_service.stores.tables import conversations as table
from servicekit.principal import Tenant
from triptych.errors import FailedPrecondition, NotFound


def may_remove(connection: Connection, tenant: Tenant, conversation_id: str) -> bool:
    """Whether there is such a conversation, and it is not an agent's default one."""
    try:
        conversation = conversations.get(connection, tenant, conversation_id)
    except NotFound:
        return False
    return agents.get(connection, tenant, conversation.agent_id).default_conversation_id != conversation_id


def remove(connection: Connection, tenant: Tenant, conversation_id: str) -> None:
    """Deletes it with its turns and steps. What its turns wrote to memory stays.

    Raises: NotFound; FailedPrecondition for an agent's default conversation.
    """
    conversations.get(connection, tenant, conversation_id)
    if not may_remove(connection, tenant, conversation_id):
        raise FailedPrecondition("an agent's default conversation can't be deleted; it can be reset")
    its_turns = select(turns.c.id).where(owned(turns, tenant), turns.c.conversation_id == conversation_id)
    connection.execute(delete(journal).where(owned(journal, tenant), journal.c.turn_id.in_(its_turns)))
    connection.execute(delete(turns).where(owned(turns, tenant), turns.c.conversation_id == conversation_id))
    steps.remove_of_conversation(connection, tenant, conversation_id)
    sleeps.remove_of_conversation(connection, tenant, conversation_id)
    connection.execute(delete(table).where(owned(table, tenant), table.c.id == conversation_id))
    connection.execute(insert(conversation_cleanups).values(**owner(tenant), conversation_id=conversation_id))


def pending(connection: Connection) -> Sequence[tuple[Tenant, str]]:
    """Every user's deleted conversations that recall has not purged yet."""
    rows = connection.execute(select(conversation_cleanups)).all()
    return [(Tenant(row.account_id, row.user_id), row.conversation_id) for row in rows]


def done(connection: Connection, tenant: Tenant, conversation_id: str) -> None:
    notes = conversation_cleanups
    connection.execute(delete(notes).where(owned(notes, tenant), notes.c.conversation_id == conversation_id))
