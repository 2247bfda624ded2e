"""Statements of the hot paths, compiled once.

A store answers in microseconds, and SQLAlchemy's part of running a statement costs several times that: so a prepared
statement goes to the driver as it was compiled.
"""

from __future__ import annotations

import re
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

# So many rows are inserted by one statement: SQLite's driver lets go of Python's global lock at each step, and where
# other threads compute it waits to have it back. PostgreSQL is given columns of any length, from a few rows on.
_ROWS, _FEW_ROWS = 100, 8
_CURSOR = "triptych-cursor"
_VALUES = re.compile(r" VALUES (\((?:\?, )*\?\))$")
_NAMED_VALUES = re.compile(r" VALUES \(((?:%\((\w+)\)s(?:::[\w()]+)?(?:, )?)+)\)$")

Parameters = Mapping[str, Any]
_Convert = Callable[[Any], Any] | None


class Prepared:
    """A select, insert, update or delete (or `text` of one) with a `bindparam` for all that differs from run to run.

    An insert sets the columns that its parameters are named as, every time the same. Those of an update have other
    names than its table's columns, and none is an `IN` list.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._by_dialect: dict[str, _Compiled] = {}

    def all(self, connection: Connection, parameters: Parameters) -> Sequence[Any]:
        """A select's rows, with the columns' values as attributes; those of a `text` are tuples."""
        compiled = self._compiled(connection.dialect, parameters)
        return [compiled.row(values) for values in _rows(connection, compiled.text, compiled.values(parameters))]

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
        """Writes, once for each of `parameters`. How many rows that changed (-1 while it is `sent_together`)."""
        if not parameters:
            return 0
        compiled = self._compiled(connection.dialect, parameters[0])
        values = [compiled.values(each) for each in parameters]
        if compiled.named and compiled.rows and len(values) >= _FEW_ROWS:
            columns = {name: [each[name] for each in values] for name, _ in compiled.binds}
            return int(_run(connection, compiled.rows, [columns]).rowcount)
        changed = 0
        while not compiled.named and compiled.rows and len(values) >= _ROWS:
            changed += _run(connection, compiled.rows, [list(chain(*values[:_ROWS]))]).rowcount
            values = values[_ROWS:]
        return int(changed + _run(connection, compiled.text, values).rowcount) if values else changed

    def _compiled(self, dialect: Dialect, parameters: Parameters) -> _Compiled:
        compiled = self._by_dialect.get(dialect.name)
        if compiled is None:
            columns = list(parameters) if isinstance(self._statement, Insert) else None
            compiled = self._by_dialect[dialect.name] = _Compiled.of(self._statement, columns, dialect)
        return compiled


@contextmanager
def sent_together(connection: Connection) -> Iterator[None]:
    """What is written by prepared statements meanwhile is sent without waiting for each one's answer.

    That is PostgreSQL's matter; SQLite is asked in this process. Nothing else may be asked of the connection.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            yield
    except connection.dialect.loaded_dbapi.Error as error:
        raise _failed(connection, "statements sent together", error) from error


@dataclass(frozen=True)
class _Compiled:
    """`rows`: inserts many at once, `_ROWS` or columns of them; '' if it inserts no values. `binds`: the parameters'
    names, and how their values are made ones of the driver's, which takes them by name if `named`. `constants`: values
    of those that the statement itself has. `row`: makes a row of values.
    """

    text: str
    rows: str
    binds: Sequence[tuple[str, _Convert]]
    named: bool
    constants: Mapping[str, Any]
    row: Callable[[Iterable[Any]], Any]

    @classmethod
    def of(cls, statement: Any, columns: Sequence[str] | None, dialect: Dialect) -> _Compiled:
        if isinstance(statement, Insert):
            statement = statement.inline()  # keys that the database makes are not asked for
        compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=columns)
        needed = [name for name, bind in compiled.binds.items() if bind.required]
        if isinstance(statement, Update) and (taken := set(statement.table.c.keys()) & set(needed)):
            raise ValueError(f"an update's parameters are named as columns, which they would set: {taken}")
        if compiled.literal_execute_params:  # they stand in the text, which is made only with values for all
            filled = statement.params(dict.fromkeys(needed))
            compiled = filled.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        names = compiled.positiontup if compiled.positional else [*compiled.binds]
        binds = [(name, _bound(compiled.binds[name].type, dialect)) for name in names or ()]
        constants = {name: compiled.binds[name].value for name, _ in binds if name not in needed}
        row = _maker(statement, dialect) if isinstance(statement, Select) else tuple
        text = str(compiled)
        rows = _many(statement, text, dialect) if isinstance(statement, Insert) and not constants else ""
        return cls(text, rows, binds, not compiled.positional, constants, row)

    def values(self, parameters: Parameters) -> Any:
        given = {**self.constants, **parameters} if self.constants else parameters
        if self.named:
            return {name: given[name] if convert is None else convert(given[name]) for name, convert in self.binds}
        return [given[name] if convert is None else convert(given[name]) for name, convert in self.binds]


def _many(statement: Insert, text: str, dialect: Dialect) -> str:
    """An insert of one row as one of many; '' if it is of another kind."""
    if values := _VALUES.search(text):
        return text + f", {values[1]}" * (_ROWS - 1)
    if values := _NAMED_VALUES.search(text):
        of = {name: dialect.type_compiler_instance.process(column.type) for name, column in statement.table.c.items()}
        columns = [f"CAST(%({name})s AS {of[name]}[])" for name in re.findall(r"%\((\w+)\)s", values[1])]
        return f"{text[: values.start()]} SELECT * FROM unnest({', '.join(columns)})"
    return ""


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


def _rows(connection: Connection, text: str, values: Any) -> Iterable[Any]:
    cursor = _run(connection, text, [values])
    if isinstance(cursor, sqlite3.Cursor):
        return cursor
    try:
        rows: list[Any] = cursor.fetchall()
        return rows
    except connection.dialect.loaded_dbapi.Error as error:
        raise _failed(connection, text, error) from error


def _run(connection: Connection, text: str, values: Sequence[Any]) -> Any:
    """Once for each of the values. Gives the driver's cursor."""
    driver: Any = connection.connection.driver_connection
    on_sqlite = connection.dialect.name == "sqlite"
    if not (driver.in_transaction if on_sqlite else connection.in_transaction()):
        connection.begin()
    runner = driver if on_sqlite else _cursor(connection, driver)
    try:
        if len(values) == 1:
            return runner.execute(text, values[0])
        ran = runner.executemany(text, values)
        return ran if on_sqlite else runner
    except connection.dialect.loaded_dbapi.Error as error:
        raise _failed(connection, text, error) from error


def _cursor(connection: Connection, driver: Any) -> Any:
    """One for all that this connection to PostgreSQL is asked: to make one takes longer than to use it."""
    cursor = connection.info.get(_CURSOR)
    if cursor is None:
        cursor = connection.info[_CURSOR] = driver.cursor()
    return cursor


def _failed(connection: Connection, text: str, error: Any) -> Exception:
    """The driver's error as SQLAlchemy would raise it, and without the parameters: they hold what users said."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(error, connection.connection.driver_connection, None)
    if lost:
        connection.invalidate(error)
    told: Exception = DBAPIError.instance(
        text,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )
    return told
