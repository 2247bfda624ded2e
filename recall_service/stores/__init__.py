"""The backends of `recall_service.store.RecallStore`."""

from __future__ import annotations

from recall_service.store import RecallStore
from recall_service.stores.sql import SqlRecallStore
from recall_service.stores.sqlite import SqliteIndex
from servicekit.sql import open_database

_SQLITE = "recall_service:migrations"
_POSTGRES = "recall_service:stores/postgres/migrations"


def open_store(dsn: str) -> RecallStore:
    """Opens and migrates the store at the SQLAlchemy URL `dsn`. Raises: servicekit.sql.StoreError."""
    if dsn.startswith("postgres"):
        from recall_service.stores.postgres import PostgresIndex

        database = open_database(dsn, _POSTGRES)
        return SqlRecallStore(database, PostgresIndex())
    database = open_database(dsn, _SQLITE)
    return SqlRecallStore(database, SqliteIndex(database))
