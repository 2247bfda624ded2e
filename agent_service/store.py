"""The service's store: `write` and `read` run the functions of `agent_service.stores` in one transaction each.

What must happen together is composed by the caller, inside one piece of work:

    await store.write(lambda c: turns.commit(c, tenant, lease, turn, events))
"""

from __future__ import annotations

from servicekit.sql import Database, open_database

MIGRATIONS = "agent_service:migrations"

Store = Database


def open_store(dsn: str) -> Store:
    """Opens and migrates it. Raises: servicekit.sql.StoreError."""
    return open_database(dsn, MIGRATIONS)
