"""Recall in one SQLite file: FTS5 for words, vectors beside the messages and, of busy agents, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from embedders import Vectors
from recall_service.store import Filters, Found, Place, Scope, Waiting
from recall_service.stores import appending, changing, pending, reading, words
from recall_service.stores.vectors import VectorCache
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Database
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, ListMessagesRequest, Message


class SqliteRecallStore:
    """A `RecallStore`. The process is the file's only owner, so what is in memory is told of every change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache = VectorCache(database)

    async def append(self, tenant: Tenant, request: AppendMessagesRequest) -> list[Message]:
        return await self._database.write(lambda c: appending.append(c, tenant, request))

    async def update(self, tenant: Tenant, message_id: str, text: str, request_id: str) -> Message:
        message = await self._database.write(lambda c: changing.change(c, tenant, message_id, text, request_id))
        self._cache.forget(tenant)
        return message

    async def get(self, tenant: Tenant, message_ids: Sequence[str]) -> list[Message]:
        return await self._database.read(lambda c: reading.get(c, tenant, message_ids))

    async def list_page(self, tenant: Tenant, request: ListMessagesRequest, page: Page) -> tuple[list[Message], str]:
        return await self._database.read(lambda c: reading.list_page(c, tenant, request, page))

    async def count(self, tenant: Tenant, scope: Scope) -> int:
        return await self._database.read(lambda c: reading.count(c, tenant, scope))

    async def purge(self, tenant: Tenant, scope: Scope, request_id: str) -> int:
        purged = await self._database.write(lambda c: changing.purge(c, tenant, scope, request_id))
        self._cache.forget(tenant)
        return purged

    async def find_words(self, tenant: Tenant, query: str, filters: Filters, most: int) -> list[Found]:
        return await self._database.read(lambda c: words.find(c, tenant, query, filters, most))

    async def find_meaning(self, tenant: Tenant, vector: Vectors, filters: Filters, most: int) -> list[Found]:
        return await self._cache.nearest(tenant, vector, filters, most)

    async def places(self, tenant: Tenant, numbers: Sequence[int]) -> dict[int, Place]:
        return await self._database.read(lambda c: reading.places(c, tenant, numbers))

    async def numbered(self, tenant: Tenant, numbers: Sequence[int]) -> dict[int, Message]:
        return await self._database.read(lambda c: reading.numbered(c, tenant, numbers))

    async def use_model(self, model: str, dimensions: int) -> bool:
        changed = await self._database.write(lambda c: pending.use_model(c, model, dimensions))
        self._cache.came(0)
        return changed

    async def waiting(self, most: int) -> list[Waiting]:
        return await self._database.read(lambda c: pending.oldest(c, most))

    async def put_vectors(self, waiting: Sequence[Waiting], vectors: Vectors) -> None:
        await self._database.write(lambda c: pending.put(c, waiting, vectors))
        if waiting:
            self._cache.came(min(each.n for each in waiting))

    async def close(self) -> None:
        await self._database.close()
