"""Deletes all that a user has here."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from agent_service.stores.rows import owned
from agent_service.stores.tables import metadata
from servicekit.principal import Tenant


def purge_user(connection: Connection, tenant: Tenant) -> dict[str, int]:
    """Every table's rows of the owner; gives how many of each there were."""
    removed: dict[str, int] = {}
    for table in reversed(metadata.sorted_tables):
        if {"account_id", "user_id"} <= set(table.c.keys()):
            removed[table.name] = connection.execute(delete(table).where(owned(table, tenant))).rowcount
    return removed
