"""What the queries of all subjects share: times, and pages by (created_at, id)."""

from __future__ import annotations

import time
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, tuple_

from servicekit.paging import Page


def now() -> int:
    return time.time_ns() // 1000


def timestamp(microseconds: int | None) -> Timestamp | None:
    if microseconds is None:
        return None
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def microseconds(value: Timestamp) -> int:
    return value.seconds * 1_000_000 + value.nanos // 1000


def fetch(connection: Connection, query: Any, table: Any, page: Page) -> tuple[Any, str]:
    """The page's rows, oldest first, and the token of the next page ('' if there is none)."""
    if page.cursor is not None:
        query = query.where(tuple_(table.c.created_at, table.c.id) > page.cursor)
    rows = connection.execute(query.order_by(table.c.created_at, table.c.id).limit(page.size + 1)).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    return rows, page.token((rows[-1].created_at, rows[-1].id)) if more else ""
