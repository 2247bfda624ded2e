"""Passages whose vectors are still another embedder's: a span of numbers, kept in the store."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from archival_service.stores import spans
from archival_service.stores.spans import Span
from archival_service.stores.tables import passages
from archival_service.stores.vectors import set_mark, set_setting, setting

_EMBEDDER = "embedder"
_WORK = "reembed"


def embedder(connection: Connection) -> str:
    """Whose vectors the store has, or is getting. '' in a new store."""
    return setting(connection, _EMBEDDER)


def begin(connection: Connection, embedder: str) -> None:
    """From here on the store is this embedder's, and all passages that it has await new vectors.

    The index, with the old ones, is the store's no longer.
    """
    set_setting(connection, _EMBEDDER, embedder)
    set_mark(connection, "")
    spans.begin(connection, _WORK)


def span(connection: Connection) -> Span:
    """Those that wait; empty when all is done."""
    return spans.left(connection, _WORK)


def count(connection: Connection) -> int:
    """How many wait."""
    return spans.count(connection, _WORK)


def texts(connection: Connection, most: int) -> dict[int, str]:
    """The first of those that wait, by their numbers, in order."""
    waiting = select(passages.c.n, passages.c.text).where(span(connection).where())
    return {row.n: row.text for row in connection.execute(waiting.order_by(passages.c.n).limit(most))}


def put(connection: Connection, halves: Mapping[int, bytes]) -> None:
    """Keeps the vectors (float16, little-endian) of what `texts` gave: these wait no longer."""
    for n, vector in halves.items():
        connection.execute(update(passages).where(passages.c.n == n).values(vector=vector))
    spans.advance(connection, _WORK, max(halves))
