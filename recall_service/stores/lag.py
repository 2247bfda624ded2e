"""How far embedding is behind. Every backend has `pending`, with the number of each message that waits."""

from __future__ import annotations

from sqlalchemy import Connection, column, func, select, table

from recall_service.store import Lag
from recall_service.stores.tables import messages

_pending = table("pending", column("n"))
_COUNT = select(func.count(), func.min(_pending.c.n)).select_from(_pending)


def read(connection: Connection) -> Lag:
    """As `RecallStore.lag`."""
    waiting, first = connection.execute(_COUNT).one()
    oldest = connection.execute(select(messages.c.created_at).where(messages.c.n == first)).scalar() if waiting else 0
    return Lag(waiting, oldest or 0)
