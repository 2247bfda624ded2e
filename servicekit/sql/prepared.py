"""Statements of the hot paths, compiled once.

SQLite answers in microseconds, and SQLAlchemy's part of running a statement costs ten times that: so on SQLite a
prepared statement goes to the driver as it was compiled. Elsewhere it runs as any other.
"""

from __future__ import annotations

import re
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

# So many rows are inserted by one statement: the driver lets go of Python's global lock at each step, and where other
# threads compute it waits milliseconds to have it back.
_ROWS = 100
_VALUES = re.compile(r" VALUES (\((?:\?, )*\?\))$")

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
        return [compiled.row(values) for values in _run(connection, compiled.text, [compiled.values(parameters)])]

    def each(self, connection: Connection, parameters: Parameters, *, at_once: int) -> Generator[Any]:
        """The same rows as they are read, so many at once: who leaves early has not read the others."""
        if connection.dialect.name != "sqlite":
            options = {"yield_per": at_once}
            with connection.execute(self._statement, parameters, execution_options=options) as rows:
                yield from rows
            return
        compiled = self._compiled(connection.dialect, parameters)
        with closing(_run(connection, compiled.text, [compiled.values(parameters)])) as cursor:
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
        values = [compiled.values(each) for each in parameters]
        changed = 0
        while compiled.rows and len(values) >= _ROWS:
            changed += _run(connection, compiled.rows, [list(chain(*values[:_ROWS]))]).rowcount
            values = values[_ROWS:]
        return changed + _run(connection, compiled.text, values).rowcount if values else changed

    def _compiled(self, dialect: Dialect, parameters: Parameters) -> _Compiled:
        if self._sqlite is None:
            columns = list(parameters) if isinstance(self._statement, Insert) else None
            self._sqlite = _Compiled.of(self._statement, columns, dialect)
        return self._sqlite


@dataclass(frozen=True)
class _Compiled:
    """`rows`: inserts `_ROWS` at once; '' if it inserts no values. `binds`: the parameters' names, and how their values
    are made ones of SQLite's. `constants`: values of those that the statement itself has. `row`: makes a row of values.
    """

    text: str
    rows: str
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
        text = str(compiled)
        values = _VALUES.search(text)
        rows = text + f", {values[1]}" * (_ROWS - 1) if values else ""
        return cls(text, rows, binds, constants, row)

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


def _run(connection: Connection, text: str, values: Sequence[Sequence[Any]]) -> sqlite3.Cursor:
    """Once for each of the values."""
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
