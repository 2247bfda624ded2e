"""How large what is stored is."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ColumnElement, Text, cast, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Octets(FunctionElement[int]):
    """`octet_length`, which SQLite has only since 3.43."""

    type = BigInteger()
    inherit_cache = True


@compiles(_Octets)
def _standard(element: _Octets, compiler: SQLCompiler, **options: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **options)})"


@compiles(_Octets, "sqlite")
def _sqlite(element: _Octets, compiler: SQLCompiler, **options: Any) -> str:
    return f"length(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


def stored_bytes(*columns: Column[Any]) -> ColumnElement[int]:
    """The sum over the rows of a query of what these columns hold, in bytes (texts in UTF-8); 0 where there is none."""
    each = (_Octets(cast(column, Text) if isinstance(column.type, JSON) else column) for column in columns)
    sums = [func.coalesce(func.sum(size), 0) for size in each]
    return cast(reduce(operator.add, sums), BigInteger)
