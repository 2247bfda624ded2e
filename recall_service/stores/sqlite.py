"""SQLite's way of finding: FTS5 for words, vectors beside the messages and, of busy agents, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from embedders import Vectors
from recall_service.places import Places
from recall_service.store import Filters, Found, Near, Scope, Waiting
from recall_service.stores import finding, pending, words
from recall_service.stores.matrix import Matrix
from recall_service.stores.postings import Postings
from recall_service.stores.vectors import VectorCache
from servicekit.principal import Tenant
from servicekit.sql import Database
from triptych.recall.v1.recall_pb2 import Message

# SQLite's own note of the highest number that the table ever had: a purged message's is not given again.
_LAST = text("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")


class SqliteIndex:
    """A `MessageIndex`. The process is the file's only owner, so what is in memory is told of every change."""

    def __init__(self, database: Database) -> None:
        self._cache = VectorCache(database)
        self._postings = Postings()
        self._last: int | None = None

    def numbers(self, connection: Connection, count: int) -> Sequence[int]:
        if self._last is None:
            self._last = connection.execute(_LAST).scalar() or 0
        # What is rolled back leaves a gap.
        self._last += count
        return range(self._last - count + 1, self._last + 1)

    def hold_ids(self, connection: Connection, tenant: Tenant, message_ids: Sequence[str]) -> None:
        """Nobody else writes at all."""

    def add(self, connection: Connection, tenant: Tenant, numbered: Mapping[int, Message]) -> None:
        words.add(connection, tenant, numbered)
        pending.add(connection, numbered)

    def remove(self, connection: Connection, numbers: Sequence[int]) -> None:
        words.remove(connection, numbers)
        pending.remove(connection, numbers)

    def find_words(
        self, connection: Connection, tenant: Tenant, query: str, filters: Filters, most: int
    ) -> list[Found]:
        return finding.find(connection, self._postings, tenant, query, filters, most)

    def waiting(self, connection: Connection, most: int) -> list[Waiting]:
        return pending.oldest(connection, most)

    def put_vectors(self, connection: Connection, waiting: Sequence[Waiting], vectors: Vectors) -> None:
        pending.put(connection, waiting, vectors)

    def forget_vectors(self, connection: Connection) -> None:
        pending.start_over(connection)

    def compact(self, connection: Connection) -> None:
        words.compact(connection)

    async def near(self, tenant: Tenant, scope: Scope) -> Near:
        return Near(await self._cache.matrix(tenant, scope.agent_id))

    def find_meaning(
        self, connection: Connection, near: Near, tenant: Tenant, vector: Vectors, filters: Filters, most: int
    ) -> list[Found]:
        assert isinstance(near, Matrix)
        return near.nearest(vector, filters, most)

    def places(self, tenant: Tenant, scope: Scope, numbers: Sequence[int]) -> Places | None:
        return self._cache.places(tenant, scope.agent_id, numbers)

    def appended(self) -> None:
        self._postings.came()

    def changed(self, tenant: Tenant) -> None:
        self._postings.forget(tenant)
        self._cache.forget(tenant)

    def came(self, embedded: Sequence[Waiting]) -> None:
        self._cache.came(embedded)

    def all_went(self) -> None:
        self._cache.forget_all()
