"""Serves the contract: checks requests, and translates between it and the store."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from archival_service.store import ArchivalStore
from archival_service.stores import archives, passages
from archival_service.stores.edge import Filters
from archival_service.stores.rows import microseconds
from embedders import Embedder
from servicekit import paging, principal
from servicekit.rpc import Context
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceServicer
from triptych.errors import InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

MAX_ID = 100
MAX_REQUEST_ID = 200
MAX_BATCH = 1_000
MAX_TEXT = 1_000_000
MAX_TAGS = 64
MAX_TAG = 200
MAX_NAME = 500
MAX_QUERY = 10_000
MAX_LIMIT = 100
MAX_ARCHIVES = 100


class ArchivalServicer(ArchivalServiceServicer):
    def __init__(self, store: ArchivalStore, embedder: Embedder) -> None:
        self._store, self._embedder = store, embedder

    async def CreateArchive(self, request: pb.CreateArchiveRequest, context: Context) -> pb.CreateArchiveResponse:
        tenant = principal.tenant()
        _check_archive(request.archive)
        made = await self._store.sql.write(lambda c: archives.create(c, tenant, request.archive, request.request_id))
        return pb.CreateArchiveResponse(archive=self._with_embedder(made))

    async def GetArchive(self, request: pb.GetArchiveRequest, context: Context) -> pb.GetArchiveResponse:
        tenant = principal.tenant()
        found = await self._store.sql.read(lambda c: archives.get(c, tenant, request.archive_id))
        return pb.GetArchiveResponse(archive=self._with_embedder(found))

    async def ListArchives(self, request: pb.ListArchivesRequest, context: Context) -> pb.ListArchivesResponse:
        tenant = principal.tenant()
        query = ("ListArchives", *tenant, request.name)
        page = paging.read(size=request.page_size, token=request.page_token, query=query, order=request.order)
        found, token = await self._store.sql.read(lambda c: archives.list_page(c, tenant, request, page))
        return pb.ListArchivesResponse(archives=map(self._with_embedder, found), next_page_token=token)

    async def UpdateArchive(self, request: pb.UpdateArchiveRequest, context: Context) -> pb.UpdateArchiveResponse:
        tenant = principal.tenant()
        _check_archive(request.archive)
        changed = await self._store.sql.write(
            lambda c: archives.change(c, tenant, request.archive, request.update_mask.paths)
        )
        return pb.UpdateArchiveResponse(archive=self._with_embedder(changed))

    async def DeleteArchive(self, request: pb.DeleteArchiveRequest, context: Context) -> pb.DeleteArchiveResponse:
        await self._store.delete_archive(principal.tenant(), request.archive_id)
        return pb.DeleteArchiveResponse()

    async def InsertPassages(self, request: pb.InsertPassagesRequest, context: Context) -> pb.InsertPassagesResponse:
        _check_insert(request)
        return pb.InsertPassagesResponse(passages=await self._store.insert(principal.tenant(), request))

    async def GetPassage(self, request: pb.GetPassageRequest, context: Context) -> pb.GetPassageResponse:
        tenant = principal.tenant()
        found = await self._store.sql.read(lambda c: passages.get(c, tenant, request.passage_id))
        return pb.GetPassageResponse(passage=found)

    async def ListPassages(self, request: pb.ListPassagesRequest, context: Context) -> pb.ListPassagesResponse:
        tenant = principal.tenant()
        query = ("ListPassages", *tenant, list(request.archive_ids), request.contains)
        page = paging.read(size=request.page_size, token=request.page_token, query=query, order=request.order)
        found, token = await self._store.sql.read(lambda c: passages.list_page(c, tenant, request, page))
        return pb.ListPassagesResponse(passages=found, next_page_token=token)

    async def CountPassages(self, request: pb.CountPassagesRequest, context: Context) -> pb.CountPassagesResponse:
        tenant = principal.tenant()
        count = await self._store.sql.read(lambda c: passages.count(c, tenant, request.archive_ids))
        return pb.CountPassagesResponse(count=count)

    async def DeletePassage(self, request: pb.DeletePassageRequest, context: Context) -> pb.DeletePassageResponse:
        await self._store.delete_passage(principal.tenant(), request.passage_id, request.archive_ids)
        return pb.DeletePassageResponse()

    async def SearchPassages(self, request: pb.SearchPassagesRequest, context: Context) -> pb.SearchPassagesResponse:
        _check_search(request)
        if not request.query.strip():
            return pb.SearchPassagesResponse()
        filters = Filters(
            archive_ids=tuple(request.archive_ids),
            tags=tuple(request.tags),
            all_tags=request.tag_match == type_pb2.TAG_MATCH_ALL,
            start=_time(request, "start_time"),
            end=_time(request, "end_time"),
        )
        hits = await self._store.search(principal.tenant(), request.query, request.mode, filters, request.limit or 10)
        return pb.SearchPassagesResponse(hits=hits)

    async def PurgeArchives(self, request: pb.PurgeArchivesRequest, context: Context) -> pb.PurgeArchivesResponse:
        tenant = principal.tenant()
        if not (request.all or request.archive_ids.ids):
            raise InvalidArgument.of("scope", "must be archive_ids, or all=true")
        wanted = (
            await self._store.sql.read(lambda c: archives.all_ids(c, tenant))
            if request.all
            else request.archive_ids.ids
        )
        purged = []
        for archive_id in wanted:
            try:
                purged.append(await self._store.delete_archive(tenant, archive_id))
            except NotFound:  # gone already: a purge that was cut short is simply sent again
                continue
        return pb.PurgeArchivesResponse(purged_archives=len(purged), purged_passages=sum(purged))

    def _with_embedder(self, archive: pb.Archive) -> pb.Archive:
        archive.embedding_model, archive.dimensions = self._embedder.model, self._embedder.dimensions
        return archive


def _check_archive(archive: pb.Archive) -> None:
    """Raises: InvalidArgument."""
    if len(archive.id) > MAX_ID:
        raise InvalidArgument.of("id", f"must be at most {MAX_ID} characters")
    if len(archive.name) > MAX_NAME:
        raise InvalidArgument.of("name", f"must be at most {MAX_NAME} characters")


def _check_insert(request: pb.InsertPassagesRequest) -> None:
    """Raises: InvalidArgument."""
    if not 1 <= len(request.archive_id) <= MAX_ID:
        raise InvalidArgument.of("archive_id", f"must be 1 to {MAX_ID} characters")
    if not 1 <= len(request.request_id) <= MAX_REQUEST_ID:
        raise InvalidArgument.of("request_id", f"must be 1 to {MAX_REQUEST_ID} characters")
    if not 1 <= len(request.passages) <= MAX_BATCH:
        raise InvalidArgument.of("passages", f"must be 1 to {MAX_BATCH}")
    for position, passage in enumerate(request.passages):
        field = f"passages[{position}]"
        if len(passage.id) > MAX_ID:
            raise InvalidArgument.of(f"{field}.id", f"must be at most {MAX_ID} characters")
        if not passage.text.strip() or len(passage.text) > MAX_TEXT:
            raise InvalidArgument.of(f"{field}.text", f"must be 1 to {MAX_TEXT:,} characters, not all blank")
        if len(passage.tags) > MAX_TAGS or any(not 1 <= len(tag) <= MAX_TAG for tag in passage.tags):
            raise InvalidArgument.of(f"{field}.tags", f"must be at most {MAX_TAGS}, of 1 to {MAX_TAG} characters each")


def _check_search(request: pb.SearchPassagesRequest) -> None:
    """Raises: InvalidArgument."""
    if len(request.query) > MAX_QUERY:
        raise InvalidArgument.of("query", f"must be at most {MAX_QUERY:,} characters")
    if not 0 <= request.limit <= MAX_LIMIT:
        raise InvalidArgument.of("limit", f"must be 0 (the default, 10) to {MAX_LIMIT}")
    if len(request.archive_ids) > MAX_ARCHIVES:
        raise InvalidArgument.of("archive_ids", f"must be at most {MAX_ARCHIVES}")


def _time(request: Any, field: str) -> int | None:
    """Microseconds, or None if it is not given."""
    if not request.HasField(field):
        return None
    value: Timestamp = getattr(request, field)
    return microseconds(value)
