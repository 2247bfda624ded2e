"""The gateway's store: `write` and `read` run the functions of `gateway.stores` in one transaction each."""

from __future__ import annotations

from servicekit.sql import Database, open_database

MIGRATIONS = "gateway:migrations"

Store = Database


def open_store(dsn: str) -> Store:
    """Opens and migrates it. Raises: servicekit.sql.StoreError."""
    return open_database(dsn, MIGRATIONS)
