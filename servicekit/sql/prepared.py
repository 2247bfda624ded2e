"""Statements of the hot paths, compiled once.

A store answers in microseconds, and SQLAlchemy's part of running a statement costs several times that: so a prepared
statement goes to the driver as it was compiled.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection, Dialect, Insert

from servicekit.sql import postgres_driver, sqlite_driver
from servicekit.sql.compiled import Compiled, Parameters


class Prepared:
    """A select, insert, update or delete (or `text` of one) with a `bindparam` for all that differs from run to run.

    An insert sets the columns that its parameters are named as, every time the same. Those of an update have other
    names than its table's columns, and none is an `IN` list.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._by_dialect: dict[str, Compiled] = {}

    def all(self, connection: Connection, parameters: Parameters) -> Sequence[Any]:
        """A select's rows, with the columns' values as attributes; those of a `text` are tuples."""
        compiled = self._compiled(connection.dialect, parameters)
        driver = sqlite_driver if _is_sqlite(connection) else postgres_driver
        return [compiled.row(row) for row in driver.rows(connection, compiled.text, compiled.values(parameters))]

    def each(self, connection: Connection, parameters: Parameters, *, at_once: int) -> Generator[Any]:
        """The same rows as they are read, so many at once: who leaves early has not read the others."""
        if not _is_sqlite(connection):
            options = {"yield_per": at_once}
            with connection.execute(self._statement, parameters, execution_options=options) as rows:
                yield from rows
            return
        compiled = self._compiled(connection.dialect, parameters)
        with closing(sqlite_driver.rows(connection, compiled.text, compiled.values(parameters))) as cursor:
            yield from map(compiled.row, cursor)

    def first(self, connection: Connection, parameters: Parameters) -> Any | None:
        """Its first row."""
        rows = self.all(connection, parameters)
        return rows[0] if rows else None

    def run(self, connection: Connection, *parameters: Parameters) -> int:
        """Writes, once for each of `parameters`. How many rows that changed: not while it is `sent_together`."""
        if not parameters:
            return 0
        compiled = self._compiled(connection.dialect, parameters[0])
        driver = sqlite_driver if _is_sqlite(connection) else postgres_driver
        return sum(driver.write(connection, text, values) for text, values in compiled.batches(parameters))

    def _compiled(self, dialect: Dialect, parameters: Parameters) -> Compiled:
        compiled = self._by_dialect.get(dialect.name)
        if compiled is None:
            columns = list(parameters) if isinstance(self._statement, Insert) else None
            compiled = self._by_dialect[dialect.name] = Compiled.of(self._statement, columns, dialect)
        return compiled


@contextmanager
def sent_together(connection: Connection) -> Iterator[None]:
    """What is written by prepared statements meanwhile is sent without waiting for each one's answer.

    That is PostgreSQL's matter; SQLite is asked in this process. Nothing else may be asked of the connection.
    """
    if _is_sqlite(connection):
        yield
        return
    with postgres_driver.pipeline(connection):
        yield


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"
