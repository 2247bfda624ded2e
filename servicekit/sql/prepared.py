"""Statements of the hot paths, compiled once.

SQLite answers in microseconds, and SQLAlchemy's part of running a statement costs ten times that: so on SQLite a
prepared statement goes to the driver as it was compiled. Elsewhere it runs as any other.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Parameters = Mapping[str, Any]
_Convert = Callable[[Any], Any] | None


class Prepared:
    """A select, insert, update or delete with a `bindparam` for all that differs from run to run.

    An insert sets the columns that its parameters are named as, every time the same. Those of an update have other
    names than its table's columns, and none is an `IN` list.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._sqlite: _Compiled | None = None

    def all(self, connection: Connection, parameters: Parameters) -> Sequence[Any]:
        """A select's rows, with the columns' values as attributes."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, parameters).all()
        compiled = self._compiled(connection.dialect, parameters)
        return [compiled.row(values) for values in _run(connection, compiled, parameters)]

    def each(self, connection: Connection, parameters: Parameters, *, at_once: int) -> Generator[Any]:
        """The same rows as they are read, so many at once: who leaves early has not read the others."""
        if connection.dialect.name != "sqlite":
            options = {"yield_per": at_once}
            with connection.execute(self._statement, parameters, execution_options=options) as rows:
                yield from rows
            return
        compiled = self._compiled(connection.dialect, parameters)
        with closing(_run(connection, compiled, parameters)) as cursor:
            yield from map(compiled.row, cursor)

    def first(self, connection: Connection, parameters: Parameters) -> Any | None:
        """Its first row."""
        rows = self.all(connection, parameters)
        return rows[0] if rows else None

    def run(self, connection: Connection, *parameters: Parameters) -> int:
        """Writes, once for each of `parameters`. How many rows that changed (of an insert on PostgreSQL: -1)."""
        if not parameters:
            return 0
        if connection.dialect.name != "sqlite":
            many = list(parameters) if len(parameters) > 1 else parameters[0]
            return connection.execute(self._statement, many).rowcount
        compiled = self._compiled(connection.dialect, parameters[0])
        return _run(connection, compiled, *parameters).rowcount

    def _compiled(self, dialect: Dialect, parameters: Parameters) -> _Compiled:
        if self._sqlite is None:
            columns = list(parameters) if isinstance(self._statement, Insert) else None
            self._sqlite = _Compiled.of(self._statement, columns, dialect)
        return self._sqlite


@dataclass(frozen=True)
class _Compiled:
    """`binds`: the parameters' names, and how their values are made ones of SQLite's. `constants`: values of those that
    the statement itself has. `row`: makes a row of values."""

    text: str
    binds: Sequence[tuple[str, _Convert]]
    constants: Mapping[str, Any]
    row: Callable[[Iterable[Any]], Any]

    @classmethod
    def of(cls, statement: Any, columns: Sequence[str] | None, dialect: Dialect) -> _Compiled:
        compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=columns)
        needed = [name for name, bind in compiled.binds.items() if bind.required]
        if isinstance(statement, Update) and (taken := set(statement.table.c.keys()) & set(needed)):
            raise ValueError(f"an update's parameters are named as columns, which they would set: {taken}")
        if compiled.literal_execute_params:  # they stand in the text, which is made only with values for all
            filled = statement.params(dict.fromkeys(needed))
            compiled = filled.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        names = compiled.positiontup or []
        binds = [(name, _bound(compiled.binds[name].type, dialect)) for name in names]
        constants = {name: compiled.binds[name].value for name in names if name not in needed}
        row = _maker(statement, dialect) if isinstance(statement, Select) else tuple
        return cls(str(compiled), binds, constants, row)

    def values(self, parameters: Parameters) -> list[Any]:
        given = {**self.constants, **parameters} if self.constants else parameters
        return [given[name] if convert is None else convert(given[name]) for name, convert in self.binds]


def _bound(kind: TypeEngine[Any], dialect: Dialect) -> _Convert:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _maker(statement: Select[Any], dialect: Dialect) -> Callable[[Iterable[Any]], Any]:
    selected = statement.selected_columns
    row = namedtuple("row", [str(column.key) for column in selected])  # type: ignore[misc]
    converted = [
        (position, convert)
        for position, column in enumerate(selected)
        if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
    ]

    def make(values: Iterable[Any]) -> Any:
        made = list(values)
        for position, convert in converted:
            made[position] = convert(made[position])
        return row(*made)

    return make


def _run(connection: Connection, compiled: _Compiled, *parameters: Parameters) -> sqlite3.Cursor:
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    if not driver.in_transaction:
        connection.begin()
    values = [compiled.values(each) for each in parameters]
    try:
        if len(values) == 1:
            return driver.execute(compiled.text, values[0])
        return driver.executemany(compiled.text, values)
    except sqlite3.Error as error:
        # As SQLAlchemy would raise it, and without the parameters: they hold what users said.
        raise DBAPIError.instance(
            compiled.text, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
