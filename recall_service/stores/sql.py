"""Recall in SQL tables, with a backend's index beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence

from sqlalchemy import Connection

from embedders import Vectors
from recall_service.places import Places
from recall_service.store import Filters, Found, Lag, Near, Scope, Snapshot, Waiting
from recall_service.stores import appending, changing, lag, models, reading
from recall_service.stores.index import MessageIndex
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Database, Part, T, Work
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, ListMessagesRequest, Message

# What all replicas do for all owners goes on beside what each does for one.
_EMBEDDING = "embedding"


class _Snapshot:
    """A `Snapshot`: a transaction that reads."""

    def __init__(self, connection: Connection, index: MessageIndex, tenant: Tenant, near: Near | None) -> None:
        self._connection, self._index, self._tenant, self._near = connection, index, tenant, near

    def find_words(self, query: str, filters: Filters, most: int) -> list[Found]:
        return self._index.find_words(self._connection, self._tenant, query, filters, most)

    def find_meaning(self, vector: Vectors, filters: Filters, most: int) -> list[Found]:
        assert self._near is not None
        return self._index.find_meaning(self._connection, self._near, self._tenant, vector, filters, most)

    def places(self, numbers: Sequence[int], scope: Scope) -> Places:
        known = self._index.places(self._tenant, scope, numbers)
        return known if known is not None else reading.places(self._connection, self._tenant, numbers)

    def numbered(self, numbers: Sequence[int]) -> dict[int, Message]:
        return reading.numbered(self._connection, self._tenant, numbers)


class SqlRecallStore:
    """A `RecallStore`."""

    def __init__(self, database: Database, index: MessageIndex) -> None:
        self._database, self._index = database, index

    async def append(self, tenant: Tenant, request: AppendMessagesRequest) -> list[Message]:
        # A conversation counts for itself: appends to others of the user's may run beside it.
        conversation = Part(tenant, request.conversation_id)
        return await self._write(
            lambda c: appending.append(c, self._index, tenant, request), conversation, self._index.appended
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

    async def near(self, tenant: Tenant, scope: Scope) -> Near:
        return await self._index.near(tenant, scope)

    async def look(self, tenant: Tenant, work: Callable[[Snapshot], T], near: Near | None = None) -> T:
        return await self._database.read(lambda c: work(_Snapshot(c, self._index, tenant, near)))

    async def use_model(self, model: str, dimensions: int) -> bool:
        known, same = await self._database.write(lambda c: models.use(c, self._index, f"{model}/{dimensions}"))
        if not same:
            self._index.all_went()
        return known and not same

    async def waiting(self, most: int) -> list[Waiting]:
        if not self._database.shared:
            return await self._database.read(lambda c: self._index.waiting(c, most))
        return await self._database.write(lambda c: self._index.waiting(c, most), alone=_EMBEDDING)

    async def lag(self) -> Lag:
        return await self._database.read(lag.read)

    async def put_vectors(self, waiting: Sequence[Waiting], vectors: Vectors) -> None:
        await self._database.write(lambda c: self._index.put_vectors(c, waiting, vectors), alone=_EMBEDDING)
        self._index.came(waiting)

    async def vacuum(self) -> None:
        await self._database.write(self._index.compact)
        await self._database.vacuum()

    async def close(self) -> None:
        await self._database.close()

    async def _write(self, work: Work[T], alone: Hashable, tell: Callable[[], None]) -> T:
        """Writes, and tells what is in memory of it, though the caller should have gone away before the commit."""

        async def write_and_tell() -> T:
            try:
                return await self._database.write(work, alone=alone)
            finally:
                tell()

        return await asyncio.shield(asyncio.ensure_future(write_and_tell()))
