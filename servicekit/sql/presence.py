"""Being there: a process holds its name in a shared store for as long as it lives, and the others can see it.

On PostgreSQL a name is held by a session's advisory lock, which ends with the process, however that ends. A SQLite file
has one process at a time, which is there by itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from sqlalchemy import Connection, text

from servicekit.sql.locks import number

_HELD = text(
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Presence(Protocol):
    async def check(self) -> bool:
        """Sees to it that the name is held; whether it was not, so that others may have missed this process.

        Raises: Unavailable if the store can't be reached.
        """
        ...

    async def close(self) -> None:
        """Gives the name up."""
        ...


class Alone:
    """The presence of the one process that a store can have."""

    async def check(self) -> bool:
        return False

    async def close(self) -> None: ...


def present(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of the names that other processes may hold now; none in a store that has one process."""
    if connection.dialect.name != "postgresql" or not names:
        return set()
    held = set(connection.execute(_HELD).scalars())
    return {name for name in names if number(name) in held}
