"""Serves the contract: checks requests, and translates between it and the store."""

from __future__ import annotations

from collections.abc import AsyncIterator

from archival_service import checks
from archival_service.ingest import Ingest
from archival_service.store import ArchivalStore, Query
from servicekit import metering, paging, principal
from servicekit.rpc import Context
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceServicer
from triptych.errors import InvalidArgument


class ArchivalServicer(ArchivalServiceServicer):
    def __init__(self, store: ArchivalStore, ingest: Ingest) -> None:
        self._store, self._ingest = store, ingest

    async def CreateArchive(self, request: pb.CreateArchiveRequest, context: Context) -> pb.CreateArchiveResponse:
        checks.request_id(request.request_id)
        checks.archive(request.archive)
        made = await self._store.create_archive(principal.tenant(), request.archive, request.request_id)
        return pb.CreateArchiveResponse(archive=made)

    async def GetArchive(self, request: pb.GetArchiveRequest, context: Context) -> pb.GetArchiveResponse:
        return pb.GetArchiveResponse(archive=await self._store.get_archive(principal.tenant(), request.archive_id))

    async def ListArchives(self, request: pb.ListArchivesRequest, context: Context) -> pb.ListArchivesResponse:
        tenant = principal.tenant()
        query = ("ListArchives", *tenant, request.name, request.after_id, request.before_id, request.shared)
        page = paging.read(size=request.page_size, token=request.page_token, query=query, order=request.order)
        found, token = await self._store.list_archives(tenant.account if request.shared else tenant, request, page)
        model, dimensions = self._store.embedding
        return pb.ListArchivesResponse(
            archives=found, next_page_token=token, embedding_model=model, dimensions=dimensions
        )

    async def UpdateArchive(self, request: pb.UpdateArchiveRequest, context: Context) -> pb.UpdateArchiveResponse:
        checks.request_id(request.request_id)
        checks.archive(request.archive)
        paths = checks.update_paths(request)
        changed = await self._store.update_archive(principal.tenant(), request.archive, paths, request.request_id)
        return pb.UpdateArchiveResponse(archive=changed)

    async def DeleteArchive(self, request: pb.DeleteArchiveRequest, context: Context) -> pb.DeleteArchiveResponse:
        checks.request_id(request.request_id)
        await self._store.delete_archive(principal.tenant(), request.archive_id, request.request_id)
        return pb.DeleteArchiveResponse()

    async def InsertPassages(self, request: pb.InsertPassagesRequest, context: Context) -> pb.InsertPassagesResponse:
        checks.insert(request)
        stored = await self._store.insert(principal.tenant(), request)
        metering.kept(request.ByteSize())
        return pb.InsertPassagesResponse(passages=stored)

    async def GetPassage(self, request: pb.GetPassageRequest, context: Context) -> pb.GetPassageResponse:
        return pb.GetPassageResponse(passage=await self._store.get_passage(principal.tenant(), request.passage_id))

    async def ListPassages(self, request: pb.ListPassagesRequest, context: Context) -> pb.ListPassagesResponse:
        tenant = principal.tenant()
        checks.list_passages(request)
        bounds = (list(request.archive_ids), request.contains, request.after_id, request.before_id)
        sources = (list(request.document_ids), list(request.file_names))
        query = ("ListPassages", *tenant, *bounds, *sources)
        page = paging.read(size=request.page_size, token=request.page_token, query=query, order=request.order)
        found, token = await self._store.list_passages(tenant, request, page)
        return pb.ListPassagesResponse(passages=found, next_page_token=token)

    async def CountPassages(self, request: pb.CountPassagesRequest, context: Context) -> pb.CountPassagesResponse:
        checks.archive_ids(request.archive_ids)
        tenant = principal.tenant()
        response = pb.CountPassagesResponse(count=await self._store.count_passages(tenant, request.archive_ids))
        if request.measure:
            response.stored_bytes = await self._store.stored_bytes(tenant, request.archive_ids)
        return response

    async def DeletePassage(self, request: pb.DeletePassageRequest, context: Context) -> pb.DeletePassageResponse:
        checks.request_id(request.request_id)
        checks.archive_ids(request.archive_ids)
        await self._store.delete_passage(
            principal.tenant(), request.passage_id, request.archive_ids, request.request_id
        )
        return pb.DeletePassageResponse()

    async def SearchPassages(self, request: pb.SearchPassagesRequest, context: Context) -> pb.SearchPassagesResponse:
        filters = checks.search(request)
        if not (request.query.strip() or request.HasField("query_vector")):
            return pb.SearchPassagesResponse()
        limit = request.limit or checks.DEFAULT_LIMIT
        query = Query(request.query, request.mode, request.query_vector if request.HasField("query_vector") else None)
        hits = await self._store.search(principal.tenant(), query, filters, limit)
        return pb.SearchPassagesResponse(hits=hits)

    async def AddDocument(
        self, requests: AsyncIterator[pb.AddDocumentRequest], context: Context
    ) -> AsyncIterator[pb.AddDocumentResponse]:
        async for response in self._ingest.add(principal.tenant(), requests):
            if response.HasField("document") and not response.existing:
                metering.kept(response.document.characters)
            yield response

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Context) -> pb.GetDocumentResponse:
        found = await self._store.get_document(principal.tenant(), request.document_id)
        return pb.GetDocumentResponse(document=found)

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Context) -> pb.ListDocumentsResponse:
        tenant = principal.tenant()
        checks.list_documents(request)
        query = ("ListDocuments", *tenant, list(request.archive_ids), request.file_name)
        page = paging.read(size=request.page_size, token=request.page_token, query=query, order=request.order)
        found, token = await self._store.list_documents(tenant, request, page)
        return pb.ListDocumentsResponse(documents=found, next_page_token=token)

    async def RestoreDocument(self, request: pb.RestoreDocumentRequest, context: Context) -> pb.RestoreDocumentResponse:
        checks.restored(request.document)
        kept = await self._store.restore_document(principal.tenant(), request.document)
        return pb.RestoreDocumentResponse(document=kept)

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest, context: Context) -> pb.DeleteDocumentResponse:
        checks.request_id(request.request_id)
        await self._store.delete_document(principal.tenant(), request.document_id, request.request_id)
        return pb.DeleteDocumentResponse()

    async def PurgeArchives(self, request: pb.PurgeArchivesRequest, context: Context) -> pb.PurgeArchivesResponse:
        checks.request_id(request.request_id)
        if not (request.all or request.archive_ids.ids):
            raise InvalidArgument.of("scope", "must be archive_ids, or all=true")
        wanted = None if request.all else request.archive_ids.ids
        purged = await self._store.purge(principal.tenant(), wanted, request.request_id)
        return pb.PurgeArchivesResponse(purged_archives=purged.archives, purged_passages=purged.passages)
