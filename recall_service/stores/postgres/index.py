"""Puts words, vectors and the outbox together."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from embedders import Vectors
from recall_service.places import Places
from recall_service.store import Filters, Found, Near, Scope, Waiting
from recall_service.stores.postgres import locks, outbox, vectors, words
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.recall.v1.recall_pb2 import Message

_NEXT = Prepared(text("SELECT nextval('messages_n') FROM generate_series(1, :count)"))


class PostgresIndex:
    """A `MessageIndex`, which several replicas may have of one database: nothing of it is kept in memory."""

    def __init__(self) -> None:
        self._replica = str(uuid.uuid4())

    def numbers(self, connection: Connection, count: int) -> Sequence[int]:
        return [number for (number,) in _NEXT.all(connection, {"count": count})]

    def hold_ids(self, connection: Connection, tenant: Tenant, message_ids: Sequence[str]) -> None:
        locks.hold(connection, f"{tenant!r} message ids", message_ids)

    def add(self, connection: Connection, tenant: Tenant, numbered: Mapping[int, Message]) -> None:
        spoken = {n: message for n, message in numbered.items() if message.text}
        if spoken:
            words.add(connection, tenant, spoken)
            outbox.add(connection, spoken)

    def remove(self, connection: Connection, numbers: Sequence[int]) -> None:
        words.remove(connection, numbers)
        outbox.remove(connection, numbers)  # first, and it waits for whoever is just putting their vectors
        vectors.remove(connection, numbers)

    def find_words(
        self, connection: Connection, tenant: Tenant, query: str, filters: Filters, most: int
    ) -> list[Found]:
        return words.find(connection, tenant, query, filters, most)

    def waiting(self, connection: Connection, most: int) -> list[Waiting]:
        return outbox.claim(connection, self._replica, most)

    def put_vectors(self, connection: Connection, waiting: Sequence[Waiting], vectors_: Vectors) -> None:
        still = set(outbox.lock(connection, [each.n for each in waiting]))
        rows = [(each, vector) for each, vector in zip(waiting, vectors_, strict=True) if each.n in still]
        if rows:
            outbox.remove(connection, vectors.put(connection, rows))

    def forget_vectors(self, connection: Connection) -> None:
        outbox.start_over(connection)
        vectors.remove_all(connection)

    def compact(self, connection: Connection) -> None:
        """A vacuum takes the dead entries of GIN too."""

    async def near(self, tenant: Tenant, scope: Scope) -> Near:
        return Near(())  # nothing has to be in memory

    def find_meaning(
        self, connection: Connection, near: Near, tenant: Tenant, vector: Vectors, filters: Filters, most: int
    ) -> list[Found]:
        return vectors.find(connection, tenant, vector, filters, most)

    def places(self, tenant: Tenant, scope: Scope, numbers: Sequence[int]) -> Places | None:
        return None

    def appended(self) -> None:
        """Nothing is kept in memory."""

    def changed(self, tenant: Tenant) -> None:
        """Nothing is kept in memory."""

    def came(self, embedded: Sequence[Waiting]) -> None:
        """Nothing is kept in memory."""

    def all_went(self) -> None:
        """Nothing is kept in memory."""
