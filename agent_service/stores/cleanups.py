"""What deleted agents have left in the other tiers, until it is purged there."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from agent_service.stores.rows import owned
from agent_service.stores.tables import cleanups
from servicekit.principal import Tenant


@dataclass(frozen=True)
class Cleanup:
    tenant: Tenant
    agent_id: str
    archive_id: str


def pending(connection: Connection) -> list[Cleanup]:
    """Every user's."""
    rows = connection.execute(select(cleanups)).all()
    return [Cleanup(Tenant(row.account_id, row.user_id), row.agent_id, row.archive_id) for row in rows]


def done(connection: Connection, tenant: Tenant, agent_id: str) -> None:
    connection.execute(delete(cleanups).where(owned(cleanups, tenant), cleanups.c.agent_id == agent_id))
