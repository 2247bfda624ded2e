"""What SQLAlchemy makes of a statement, for the driver to be given again and again."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Dialect, Insert, Select, Update
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

# So many rows are inserted by one statement: SQLite's driver lets go of Python's global lock at each step, and where
# other threads compute it waits to have it back. PostgreSQL is given columns of any length, from a few rows on.
_ROWS, _FEW_ROWS = 100, 8
_VALUES = re.compile(r" VALUES (\((?:\?, )*\?\))$")
_NAMED_VALUES = re.compile(r" VALUES \(((?:%\((\w+)\)s(?:::[\w()]+)?(?:, )?)+)\)$")

Parameters = Mapping[str, Any]
_Convert = Callable[[Any], Any] | None


@dataclass(frozen=True)
class Compiled:
    """`many`: inserts many rows at once, `_ROWS` or columns of them; '' if it inserts no values. `binds`: the
    parameters' names, and how their values are made ones of the driver's, which takes them by name if `named`.
    `constants`: values of those that the statement itself has. `row`: makes a row of values.
    """

    text: str
    many: str
    binds: Sequence[tuple[str, _Convert]]
    named: bool
    constants: Mapping[str, Any]
    row: Callable[[Iterable[Any]], Any]

    @classmethod
    def of(cls, statement: Any, columns: Sequence[str] | None, dialect: Dialect) -> Compiled:
        """`columns`: those that an insert sets. Raises: ValueError, CompileError."""
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
        many = _many(statement, text, dialect) if isinstance(statement, Insert) and not constants else ""
        return cls(text, many, binds, not compiled.positional, constants, row)

    def values(self, parameters: Parameters) -> Any:
        """As the driver takes them."""
        given = {**self.constants, **parameters} if self.constants else parameters
        if self.named:
            return {name: given[name] if convert is None else convert(given[name]) for name, convert in self.binds}
        return [given[name] if convert is None else convert(given[name]) for name, convert in self.binds]

    def batches(self, parameters: Sequence[Parameters]) -> Iterator[tuple[str, Sequence[Any]]]:
        """Texts, and the values that each is to be run with."""
        values = [self.values(each) for each in parameters]
        if self.many and self.named and len(values) >= _FEW_ROWS:
            yield self.many, [{name: [each[name] for each in values] for name, _ in self.binds}]
            return
        while self.many and not self.named and len(values) >= _ROWS:
            yield self.many, [list(chain(*values[:_ROWS]))]
            values = values[_ROWS:]
        if values:
            yield self.text, values


def _many(statement: Insert, text: str, dialect: Dialect) -> str:
    """An insert of one row as one of many; '' if it is of another kind."""
    if values := _VALUES.search(text):
        return text + f", {values[1]}" * (_ROWS - 1)
    if values := _NAMED_VALUES.search(text):
        types = {name: dialect.type_compiler_instance.process(col.type) for name, col in statement.table.c.items()}
        columns = [f"CAST(%({name})s AS {types[name]}[])" for name in re.findall(r"%\((\w+)\)s", values[1])]
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
