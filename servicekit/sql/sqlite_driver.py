"""Statements as SQLite's driver runs them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def rows(connection: Connection, text: str, values: Sequence[object]) -> sqlite3.Cursor:
    """Raises: sqlalchemy.exc.DBAPIError."""
    return _run(connection, text, [values])


def write(connection: Connection, text: str, values: Sequence[Sequence[object]]) -> int:
    """Runs it once for each of the values; how many rows that changed. Raises: sqlalchemy.exc.DBAPIError."""
    return _run(connection, text, values).rowcount


def _run(connection: Connection, text: str, values: Sequence[Sequence[object]]) -> sqlite3.Cursor:
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    if not driver.in_transaction:
        connection.begin()
    try:
        if len(values) == 1:
            return driver.execute(text, values[0])
        return driver.executemany(text, values)
    except sqlite3.Error as error:
        # As SQLAlchemy would raise it, and without the parameters: they hold what users said.
        raise DBAPIError.instance(
            text, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
