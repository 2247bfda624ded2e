"""How far embedding is behind. Every backend has `pending`: the number of each message that waits, and since when."""

from __future__ import annotations

from sqlalchemy import Connection, column, func, select, table

from recall_service.store import Lag

_pending = table("pending", column("n"), column("since"))
_COUNT = select(func.count()).select_from(_pending)
_FIRST = select(_pending.c.since).order_by(_pending.c.n).limit(1)


def read(connection: Connection) -> Lag:
    """As `RecallStore.lag`."""
    return Lag(connection.execute(_COUNT).scalar_one(), connection.execute(_FIRST).scalar() or 0)
