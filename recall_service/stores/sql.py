"""Recall in SQL tables, with a backend's index beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from embedders import Vectors
from recall_service.places import Places
from recall_service.store import Filters, Found, Lag, Scope, Waiting
from recall_service.stores import appending, changing, lag, models, reading
from recall_service.stores.index import MessageIndex
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Database, T, Work
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, ListMessagesRequest, Message

# What all replicas do for all owners goes on beside what each does for one.
_EMBEDDING = "embedding"


class SqlRecallStore:
    """A `RecallStore`."""

    def __init__(self, database: Database, index: MessageIndex) -> None:
        self._database, self._index = database, index

    async def append(self, tenant: Tenant, request: AppendMessagesRequest) -> list[Message]:
        return await self._write(
            lambda c: appending.append(c, self._index, tenant, request), tenant, self._index.appended
        )

    async def update(self, tenant: Tenant, message_id: str, text: str, request_id: str) -> Message:
        return await self._write(
            lambda c: changing.change(c, self._index, tenant, message_id, text, request_id),
            tenant,
            lambda: self._index.changed(tenant),
        )

    async def get(self, tenant: Tenant, message_ids: Sequence[str]) -> list[Message]:
        return await self._database.read(lambda c: reading.get(c, tenant, message_ids))

    async def list_page(self, tenant: Tenant, request: ListMessagesRequest, page: Page) -> tuple[list[Message], str]:
        return await self._database.read(lambda c: reading.list_page(c, tenant, request, page))

    async def count(self, tenant: Tenant, scope: Scope) -> int:
        return await self._database.read(lambda c: reading.count(c, tenant, scope))

    async def stored_bytes(self, tenant: Tenant, scope: Scope) -> int:
        return await self._database.read(lambda c: reading.stored(c, tenant, scope))

    async def purge(self, tenant: Tenant, scope: Scope, before: int | None, request_id: str) -> int:
        return await self._write(
            lambda c: changing.purge(c, self._index, tenant, scope, before, request_id),
            tenant,
            lambda: self._index.changed(tenant),
        )

    async def find_words(self, tenant: Tenant, query: str, filters: Filters, most: int) -> list[Found]:
        return await self._database.read(lambda c: self._index.find_words(c, tenant, query, filters, most))

    async def find_meaning(self, tenant: Tenant, vector: Vectors, filters: Filters, most: int) -> list[Found]:
        return await self._index.find_meaning(tenant, vector, filters, most)

    async def places(self, tenant: Tenant, numbers: Sequence[int], scope: Scope) -> Places:
        known = self._index.places(tenant, scope, numbers)
        return known if known is not None else await self._read_places(tenant, numbers)

    async def _read_places(self, tenant: Tenant, numbers: Sequence[int]) -> Places:
        return await self._database.read(lambda c: reading.places(c, tenant, numbers))

    async def numbered(self, tenant: Tenant, numbers: Sequence[int]) -> dict[int, Message]:
        return await self._database.read(lambda c: reading.numbered(c, tenant, numbers))

    async def use_model(self, model: str, dimensions: int) -> bool:
        known, same = await self._database.write(lambda c: models.use(c, self._index, f"{model}/{dimensions}"))
        self._index.came(0)
        return known and not same

    async def waiting(self, most: int) -> list[Waiting]:
        if not self._database.shared:
            return await self._database.read(lambda c: self._index.waiting(c, most))
        return await self._database.write(lambda c: self._index.waiting(c, most), alone=_EMBEDDING)

    async def lag(self) -> Lag:
        return await self._database.read(lag.read)

    async def put_vectors(self, waiting: Sequence[Waiting], vectors: Vectors) -> None:
        await self._database.write(lambda c: self._index.put_vectors(c, waiting, vectors), alone=_EMBEDDING)
        if waiting:
            self._index.came(min(each.n for each in waiting))

    async def vacuum(self) -> None:
        await self._database.write(self._index.compact)
        await self._database.vacuum()

    async def close(self) -> None:
        await self._database.close()

    async def _write(self, work: Work[T], tenant: Tenant, tell: Callable[[], None]) -> T:
        """Writes, and tells what is in memory of it, though the caller should have gone away before the commit."""

        async def write_and_tell() -> T:
            try:
                return await self._database.write(work, alone=tenant)
            finally:
                tell()

        return await asyncio.shield(asyncio.ensure_future(write_and_tell()))
