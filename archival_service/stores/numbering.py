"""Numbers of new rows, taken before the rows are written: many go in at once, and how they are numbered is known."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from sqlalchemy import Connection, Table, text

_SEQUENCE = text("SELECT nextval(pg_get_serial_sequence(:name, :key)) FROM generate_series(1, :many)")


def next_numbers(connection: Connection, table: Table, many: int) -> Sequence[int]:
    """So many, rising, for the table's key: rows of these numbers have to be written in the same transaction.

    None is ever given twice, also if its row is deleted.
    """
    if connection.dialect.name == "sqlite":
        # There is no other writer; what AUTOINCREMENT keeps counts explicit numbers too.
        cursor: sqlite3.Cursor = connection.connection.cursor()  # type: ignore[assignment]
        found = cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone()
        last: int = found[0] if found else 0
        return range(last + 1, last + 1 + many)
    (key,) = table.primary_key.columns
    return connection.execute(_SEQUENCE, {"name": table.name, "key": key.name, "many": many}).scalars().all()
