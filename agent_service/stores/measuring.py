"""How much of a user's own is kept here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, Table, select

from agent_service.stores.rows import owned
from agent_service.stores.tables import agents, block_revisions, blocks, conversations, identities, mcp_servers, tools
from servicekit.principal import Tenant
from servicekit.sql.sizes import stored_bytes

# What users put in, or have agents put in. Turns, journals and steps are the service's own, and not counted.
_COUNTED: tuple[tuple[Table, tuple[Column[Any], ...]], ...] = (
    (agents, (agents.c.body,)),
    (blocks, (blocks.c.value, blocks.c.description, blocks.c.metadata)),
    (block_revisions, (block_revisions.c.value,)),
    (tools, (tools.c.body,)),
    (mcp_servers, (mcp_servers.c.body,)),
    (identities, (identities.c.properties,)),
    (conversations, (conversations.c.summary, conversations.c.title, conversations.c.metadata)),
)


def stored(connection: Connection, tenant: Tenant) -> int:
    """Bytes, of all that is counted."""
    return sum(
        connection.execute(select(stored_bytes(*columns)).where(owned(table, tenant))).scalar_one()
        for table, columns in _COUNTED
    )
