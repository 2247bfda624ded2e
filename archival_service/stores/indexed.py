"""The store: SQL, which is the truth, and an index beside it that the keeper holds to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog
from sqlalchemy import Connection

from archival_service import given
from archival_service.keeper import Keeper
from archival_service.search import Scored, fuse
from archival_service.store import Begun, Filters, Found, PassageIndex, Purged, Query
from archival_service.stores import archives, documents, inserting, listing, passages
from archival_service.stores.inserting import Stored
from archival_service.stores.outbox import Change
from embedders import Embedder, EmbedderUnavailable, TextsRefused, Vectors
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Database
from triptych.archival.v1.archival_pb2 import (
    Archive,
    Document,
    InsertPassagesRequest,
    ListArchivesRequest,
    ListDocumentsRequest,
    ListPassagesRequest,
    Passage,
    PassageHit,
)
from triptych.errors import InvalidArgument, ResourceExhausted
from triptych.type.v1 import type_pb2

_log = structlog.get_logger("search")
# A hybrid search does not wait longer than this for the query's vector: words alone are an answer too.
_PATIENCE_SECONDS = 2.0
# How many of each side are considered before they are added up.
_CANDIDATES = 50


class IndexedStore:
    """An ArchivalStore. What it is made of stays the caller's to close."""

    def __init__(self, sql: Database, index: PassageIndex, embedder: Embedder, keeper: Keeper) -> None:
        self._sql, self._index, self._embedder, self._keeper = sql, index, embedder, keeper

    @property
    def embedding(self) -> tuple[str, int]:
        return self._embedder.model, self._embedder.dimensions

    async def create_archive(self, tenant: Tenant, wanted: Archive, request_id: str) -> Archive:
        return self._described(
            await self._sql.write(lambda c: archives.create(c, tenant, wanted, request_id), alone=tenant)
        )

    async def get_archive(self, tenant: Tenant, archive_id: str) -> Archive:
        return self._described(await self._sql.read(lambda c: archives.get(c, tenant, archive_id)))

    async def list_archives(
        self, tenant: Tenant, request: ListArchivesRequest, page: Page
    ) -> tuple[list[Archive], str]:
        found, token = await self._sql.read(lambda c: archives.list_page(c, tenant, request, page))
        return [self._described(archive) for archive in found], token

    async def update_archive(self, tenant: Tenant, wanted: Archive, paths: Sequence[str], request_id: str) -> Archive:
        return self._described(
            await self._sql.write(lambda c: archives.change(c, tenant, wanted, paths, request_id), alone=tenant)
        )

    async def delete_archive(self, tenant: Tenant, archive_id: str, request_id: str) -> None:
        await self._forget(
            await self._keeper.write(lambda c: archives.remove(c, tenant, archive_id, request_id), alone=tenant)
        )

    async def insert(self, tenant: Tenant, request: InsertPassagesRequest) -> list[Passage]:
        stored: Stored | None = None
        if await self._seen(tenant, request):
            stored = await self._keeper.write(lambda c: inserting.replay(c, tenant, request), alone=tenant)
        if stored is None:
            rows = [half.tobytes() for half in (await self._vectors(request)).astype("<f2")]
            stored = await self._keeper.write(lambda c: inserting.insert_once(c, tenant, request, rows), alone=tenant)
        if stored.changes:
            await self._index.put(stored.entries)
            self._keeper.note(stored.changes)
        return stored.passages

    async def get_passage(self, tenant: Tenant, passage_id: str) -> Passage:
        return await self._sql.read(lambda c: passages.get(c, tenant, passage_id))

    async def list_passages(
        self, tenant: Tenant, request: ListPassagesRequest, page: Page
    ) -> tuple[list[Passage], str]:
        return await self._sql.read(lambda c: passages.list_page(c, tenant, request, page))

    async def count_passages(self, tenant: Tenant, archive_ids: Sequence[str]) -> int:
        return await self._sql.read(lambda c: passages.count(c, tenant, archive_ids))

    async def stored_bytes(self, tenant: Tenant, archive_ids: Sequence[str]) -> int:
        return await self._sql.read(lambda c: passages.stored(c, tenant, archive_ids))

    async def delete_passage(
        self, tenant: Tenant, passage_id: str, archive_ids: Sequence[str], request_id: str
    ) -> None:
        await self._forget(
            await self._keeper.write(
                lambda c: passages.remove(c, tenant, passage_id, archive_ids, request_id), alone=tenant
            )
        )

    async def search(self, tenant: Tenant, query: Query, filters: Filters, limit: int) -> list[PassageHit]:
        vector = await self._meaning_for(query)
        words = "" if query.mode == type_pb2.SEARCH_MODE_SEMANTIC else query.text
        most = max(_CANDIDATES, limit)
        dense, sparse = list[Found](), list[Found]()
        parts = await self._parts(tenant, filters)
        for whose, part in parts:
            near, matching = await self._index.candidates(whose, part, most, vector=vector, words=words)
            dense, sparse = [*dense, *near], [*sparse, *matching]
        fused = fuse(dense, sparse)
        hits = await self._sql.read(lambda c: _best(c, [whose for whose, _ in parts], fused, limit))
        if sum(hit.ByteSize() for hit in hits) > listing.MOST_BYTES:
            raise ResourceExhausted(f"the hits are more than {listing.MOST_BYTES} bytes: ask for fewer at once")
        return hits

    async def _parts(self, tenant: Tenant, filters: Filters) -> list[tuple[Tenant, Filters]]:
        """What is to be searched of whom: of the account only archives that are named."""
        named = filters.archive_ids
        shared = await self._sql.read(lambda c: archives.shared_among(c, tenant, named)) if named else []
        own = tuple(each for each in named if each not in shared)
        parts = [(tenant, replace(filters, archive_ids=own))] if own or not named else []
        return [*parts, (tenant.account, replace(filters, archive_ids=tuple(shared)))] if shared else parts

    async def purge(self, tenant: Tenant, archive_ids: Sequence[str] | None, request_id: str) -> Purged:
        purged, changes = await self._keeper.write(
            lambda c: archives.purge(c, tenant, archive_ids, request_id), alone=tenant
        )
        await self._forget(changes)
        return purged

    async def begin_document(
        self, tenant: Tenant, wanted: Document, fingerprint: str, create_archive_name: str, request_id: str
    ) -> Begun:
        begun, changes = await self._keeper.write(
            lambda c: documents.begin(c, tenant, wanted, fingerprint, create_archive_name, request_id),
            alone=tenant,
        )
        await self._forget(changes)
        return begun

    async def finish_document(self, tenant: Tenant, begun: Begun, request_id: str) -> tuple[Document, list[str]]:
        document, replaced, changes = await self._keeper.write(
            lambda c: documents.finish(c, tenant, begun, request_id), alone=tenant
        )
        await self._forget(changes)
        return document, replaced

    async def get_document(self, tenant: Tenant, document_id: str) -> Document:
        return await self._sql.read(lambda c: documents.get(c, tenant, document_id))

    async def list_documents(
        self, tenant: Tenant, request: ListDocumentsRequest, page: Page
    ) -> tuple[list[Document], str]:
        return await self._sql.read(lambda c: documents.list_page(c, tenant, request, page))

    async def restore_document(self, tenant: Tenant, wanted: Document) -> Document:
        return await self._sql.write(lambda c: documents.restore(c, tenant, wanted), alone=tenant)

    async def delete_document(self, tenant: Tenant, document_id: str, request_id: str) -> None:
        await self._forget(
            await self._keeper.write(lambda c: documents.remove(c, tenant, document_id, request_id), alone=tenant)
        )

    async def _seen(self, tenant: Tenant, request: InsertPassagesRequest) -> bool:
        """Asked before anything is embedded; where nothing has to be, the write itself finds out."""
        if given.fit(request.vectors, self._embedder.dimensions):
            return False
        return await self._sql.read(lambda c: inserting.seen(c, tenant, request))

    async def _vectors(self, request: InsertPassagesRequest) -> Vectors:
        if request.vectors:
            return given.vectors("vectors", request.vectors, self._embedder.dimensions)
        return await self._embed("passages", [each.text for each in request.passages])

    async def _meaning_for(self, query: Query) -> Vectors | None:
        """None where words are enough, or have to be: a hybrid search neither fails nor waits long for the embedder."""
        if query.mode == type_pb2.SEARCH_MODE_LEXICAL:
            return None
        if query.mode == type_pb2.SEARCH_MODE_SEMANTIC:
            return await self._meaning(query)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._meaning(query)
        except (EmbedderUnavailable, TimeoutError) as error:
            _log.warning("searched by words alone", problem=str(error) or "the embedder is slow")
            return None

    async def _meaning(self, query: Query) -> Vectors:
        if query.vector is not None:
            made = given.vectors("query_vector", [query.vector], self._embedder.dimensions)
        else:
            made = await self._embed("query", [query.text])
        vector: Vectors = made[0]
        return vector

    async def _embed(self, field: str, texts: Sequence[str]) -> Vectors:
        """Raises: Unavailable EMBEDDER_UNAVAILABLE; InvalidArgument for texts that it will never take."""
        try:
            return await self._embedder.embed(texts)
        except TextsRefused as error:
            raise InvalidArgument.of(field, error.message) from error

    async def _forget(self, changes: Sequence[Change]) -> None:
        await self._index.forget([change.n for change in changes])
        self._keeper.note(changes)

    def _described(self, archive: Archive) -> Archive:
        archive.embedding_model, archive.dimensions = self.embedding
        return archive


def _best(connection: Connection, owners: Sequence[Tenant], fused: Sequence[Scored], limit: int) -> list[PassageHit]:
    """The first `limit` that are there: one whose passage is gone is one that the index has yet to forget."""
    hits: list[PassageHit] = []
    at = 0
    while at < len(fused) and len(hits) < limit:
        part = fused[at : at + limit - len(hits)]
        at += len(part)
        found = dict[int, Passage]()
        for whose in owners:
            found |= passages.by_numbers(connection, whose, [each.n for each in part])
        hits.extend(
            PassageHit(passage=found[each.n], score=each.score, dense=each.dense, sparse=each.sparse)
            for each in part
            if each.n in found
        )
    return hits
