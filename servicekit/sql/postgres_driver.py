"""Statements as PostgreSQL's driver, psycopg, runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

_CURSOR = "triptych-cursor"


def rows(connection: Connection, text: str, values: Mapping[str, Any]) -> list[Any]:
    """Raises: sqlalchemy.exc.DBAPIError."""
    with _as_sqlalchemys(connection, text):
        found: list[Any] = _cursor(connection).execute(text, values).fetchall()
    return found


def write(connection: Connection, text: str, values: Sequence[Mapping[str, Any]]) -> int:
    """Runs it once for each of the values; how many rows that changed. Raises: sqlalchemy.exc.DBAPIError."""
    cursor = _cursor(connection)
    with _as_sqlalchemys(connection, text):
        if len(values) == 1:
            cursor.execute(text, values[0])
        else:
            cursor.executemany(text, values)
    return int(cursor.rowcount)


@contextmanager
def pipeline(connection: Connection) -> Iterator[None]:
    """What is written meanwhile is sent at once, and its answers waited for at the end.

    https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html. Raises: sqlalchemy.exc.DBAPIError.
    """
    driver: Any = connection.connection.driver_connection
    with _as_sqlalchemys(connection, "statements sent together"), driver.pipeline():
        yield


def _cursor(connection: Connection) -> Any:
    """One for all that a connection is asked: to make one takes longer than to use it."""
    if not connection.in_transaction():
        connection.begin()
    cursor = connection.info.get(_CURSOR)
    if cursor is None:
        driver: Any = connection.connection.driver_connection
        cursor = connection.info[_CURSOR] = driver.cursor()
    return cursor


@contextmanager
def _as_sqlalchemys(connection: Connection, text: str) -> Iterator[None]:
    """Raises the driver's errors as SQLAlchemy would, and without the parameters: they hold what users said."""
    dialect = connection.dialect
    try:
        yield
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, connection.connection.driver_connection, None)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            text,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        ) from error
