"""Passages whose vectors are still another embedder's: a span of numbers, kept in the store.

They are embedded anew in the order of their numbers, so how far that has come is one number, which moves in the same
transaction as the vectors. Whatever is inserted meanwhile is behind the span.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select, update

from archival_service.stores.tables import passages
from archival_service.stores.vectors import MARK, set_setting, setting

_EMBEDDER = "embedder"
_AFTER, _UNTIL = "reembed-after", "reembed-until"


@dataclass(frozen=True)
class Span:
    """The passages numbered above `after`, up to and with `until`."""

    after: int
    until: int

    def __contains__(self, n: int) -> bool:
        return self.after < n <= self.until

    def where(self) -> ColumnElement[bool]:
        return (passages.c.n > self.after) & (passages.c.n <= self.until)


def embedder(connection: Connection) -> str:
    """Whose vectors the store has, or is getting. '' in a new store."""
    return setting(connection, _EMBEDDER)


def begin(connection: Connection, embedder: str) -> None:
    """From here on the store is this embedder's, and all passages that it has await new vectors.

    The index, with the old ones, is the store's no longer.
    """
    last = connection.execute(select(func.max(passages.c.n))).scalar() or 0
    set_setting(connection, _EMBEDDER, embedder)
    set_setting(connection, MARK, "")
    set_setting(connection, _AFTER, "0")
    set_setting(connection, _UNTIL, str(last))


def span(connection: Connection) -> Span:
    """Those that wait; empty when all is done."""
    return Span(int(setting(connection, _AFTER) or 0), int(setting(connection, _UNTIL) or 0))


def count(connection: Connection) -> int:
    """How many wait."""
    return connection.execute(select(func.count()).select_from(passages).where(span(connection).where())).scalar_one()


def texts(connection: Connection, most: int) -> dict[int, str]:
    """The first of those that wait, by their numbers, in order."""
    waiting = select(passages.c.n, passages.c.text).where(span(connection).where())
    return {row.n: row.text for row in connection.execute(waiting.order_by(passages.c.n).limit(most))}


def put(connection: Connection, halves: Mapping[int, bytes]) -> None:
    """Keeps the vectors (float16, little-endian) of what `texts` gave: these wait no longer."""
    for n, vector in halves.items():
        connection.execute(update(passages).where(passages.c.n == n).values(vector=vector))
    set_setting(connection, _AFTER, str(max(halves)))
