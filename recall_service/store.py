"""The service's store: `write` and `read` run the functions of `recall_service.stores` in one transaction each."""

from __future__ import annotations

from servicekit.sql import Database, open_database

MIGRATIONS = "recall_service:migrations"

Store = Database


def open_store(dsn: str) -> Store:
    """Opens and migrates it. Raises: servicekit.sql.StoreError."""
    return open_database(dsn, MIGRATIONS)
