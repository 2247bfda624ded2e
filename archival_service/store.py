"""Archival's store: SQL, which is the truth, and the index beside it, kept together."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from archival_service.indexer import Flusher
from archival_service.search import best, fuse
from archival_service.stores import archives, outbox, passages
from archival_service.stores.edge import EdgeIndex, Filters
from embedders import Embedder
from servicekit.principal import Tenant
from servicekit.sql import Database, open_database
from triptych.archival.v1.archival_pb2 import InsertPassagesRequest, Passage, PassageHit
from triptych.type.v1 import type_pb2

MIGRATIONS = "archival_service:migrations"
# How many of each side are considered before they are added up.
_CANDIDATES = 50


def open_store(dsn: str) -> Database:
    """Opens and migrates the SQL side. Raises: servicekit.sql.StoreError."""
    return open_database(dsn, MIGRATIONS)


class ArchivalStore:
    """What touches both sides; what is SQL alone is called on `sql`."""

    def __init__(self, sql: Database, index: EdgeIndex, embedder: Embedder, flusher: Flusher) -> None:
        self.sql = sql
        self._index, self._embedder, self._flusher = index, embedder, flusher

    async def insert(self, tenant: Tenant, request: InsertPassagesRequest) -> list[Passage]:
        """Returns when the text is committed and the index has it; if it dies in between, the next start heals it.

        Raises: as `passages.insert_once`; Unavailable if the embedder is away, and then nothing is stored.
        """
        halves = (await self._embedder.embed([passage.text for passage in request.passages])).astype("<f2")
        vectors = [row.tobytes() for row in halves]

        def work(connection: Connection) -> tuple[list[Passage], list[outbox.Entry]]:
            stored, numbers = passages.insert_once(connection, tenant, request, vectors)
            return stored, outbox.entries(connection, numbers) if numbers else []

        stored, entries = await self.sql.write(work)
        if entries:
            await self._index.put(entries)
            self._flusher.note([entry.n for entry in entries])
        return stored

    async def delete_passage(self, tenant: Tenant, passage_id: str, archive_ids: Sequence[str]) -> None:
        """Raises: NotFound."""
        await self._forget([await self.sql.write(lambda c: passages.remove(c, tenant, passage_id, archive_ids))])

    async def delete_archive(self, tenant: Tenant, archive_id: str) -> int:
        """Gives the number of passages that went with it. Raises: NotFound."""
        numbers = await self.sql.write(lambda c: archives.remove(c, tenant, archive_id))
        await self._forget(numbers)
        return len(numbers)

    async def search(
        self, tenant: Tenant, query: str, mode: type_pb2.SearchMode.ValueType, filters: Filters, limit: int
    ) -> list[PassageHit]:
        """The best `limit` hits, best first. Raises: Unavailable if the embedder is needed and away."""
        most = max(_CANDIDATES, limit)
        dense: list[tuple[int, float]] = []
        sparse: list[tuple[int, float]] = []
        if mode != type_pb2.SEARCH_MODE_LEXICAL:
            (vector,) = await self._embedder.embed([query])
            dense = await self._index.nearest(tenant, vector, filters, most)
        if mode != type_pb2.SEARCH_MODE_SEMANTIC:
            sparse = await self._index.matching(tenant, query, filters, most)
        fused = fuse(dense, sparse)
        found = await self.sql.read(lambda c: passages.by_numbers(c, tenant, [each.n for each in fused]))
        return best(fused, found, limit)

    async def _forget(self, numbers: list[int]) -> None:
        if numbers:
            await self._index.forget(numbers)
            self._flusher.note(numbers)
