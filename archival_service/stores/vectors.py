"""Whose vectors the store has, and all of them made anew."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, func, insert, select, update

from archival_service.stores.tables import passages, settings


def setting(connection: Connection, name: str) -> str:
    """'' if it was never set."""
    return connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar() or ""


def set_setting(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(settings).where(settings.c.name == name))
    connection.execute(insert(settings).values(name=name, value=value))


def texts_after(connection: Connection, n: int, most: int) -> dict[int, str]:
    """Passages behind number `n`, in order, to be embedded."""
    query = select(passages.c.n, passages.c.text).where(passages.c.n > n).order_by(passages.c.n).limit(most)
    return {row.n: row.text for row in connection.execute(query)}


def replace(connection: Connection, halves: Mapping[int, bytes]) -> None:
    """Keeps the vectors (float16, little-endian) of the passages of these numbers."""
    for n, vector in halves.items():
        connection.execute(update(passages).where(passages.c.n == n).values(vector=vector))


def count(connection: Connection) -> int:
    """Passages of all owners."""
    return connection.execute(select(func.count()).select_from(passages)).scalar_one()
