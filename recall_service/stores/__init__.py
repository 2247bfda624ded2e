"""The backends of `recall_service.store.RecallStore`."""

from __future__ import annotations

from recall_service.store import RecallStore
from recall_service.stores.sqlite import SqliteRecallStore
from servicekit.sql import open_database

_MIGRATIONS = "recall_service:migrations"


def open_store(dsn: str) -> RecallStore:
    """Opens and migrates the store at the SQLAlchemy URL `dsn`. Raises: servicekit.sql.StoreError."""
    return SqliteRecallStore(open_database(dsn, _MIGRATIONS))
