"""What the index may not have heard of for good, and which index and embedder this store goes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from archival_service.stores.tables import outbox, passages, settings


@dataclass(frozen=True)
class Entry:
    """A passage as the index keeps it. `vector`: float16, little-endian."""

    n: int
    account_id: str
    user_id: str
    archive_id: str
    tags: list[str]
    created_at: int
    text: str
    vector: bytes


def entries(connection: Connection, numbers: Sequence[int]) -> list[Entry]:
    """The passages of these numbers that are still there."""
    columns = [passages.c[name] for name in Entry.__annotations__]
    rows = connection.execute(select(*columns).where(passages.c.n.in_(numbers)).order_by(passages.c.n))
    return [Entry(**row._mapping) for row in rows]


def waiting(connection: Connection, after: int, most: int) -> list[int]:
    query = select(outbox.c.n).where(outbox.c.n > after).order_by(outbox.c.n).limit(most)
    return list(connection.execute(query).scalars())


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def done(connection: Connection, numbers: Sequence[int]) -> None:
    for at in range(0, len(numbers), 500):
        connection.execute(delete(outbox).where(outbox.c.n.in_(numbers[at : at + 500])))


def enqueue_all(connection: Connection) -> None:
    """Every passage has to go to the index again."""
    connection.execute(delete(outbox))
    connection.execute(insert(outbox).from_select(["n"], select(passages.c.n)))


def setting(connection: Connection, name: str) -> str:
    """'' if it was never set."""
    return connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar() or ""


def set_setting(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(settings).where(settings.c.name == name))
    connection.execute(insert(settings).values(name=name, value=value))


def texts_after(connection: Connection, n: int, most: int) -> dict[int, str]:
    """Passages by number, to be embedded anew."""
    query = select(passages.c.n, passages.c.text).where(passages.c.n > n).order_by(passages.c.n).limit(most)
    return {row.n: row.text for row in connection.execute(query)}


def set_vectors(connection: Connection, vectors: dict[int, bytes]) -> None:
    for n, vector in vectors.items():
        connection.execute(update(passages).where(passages.c.n == n).values(vector=vector))


def count_passages(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(passages)).scalar_one()
