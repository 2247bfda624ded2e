"""Archives by themselves: what documents and facts are kept in, whether an agent has them or not."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from triptych.archival.v1 import archival_pb2 as pb
from triptych.sdk.aio.transport import AsyncTransport
from triptych.sdk.said import struct

_SERVICE = "/triptych.archival.v1.ArchivalService/"


class AsyncArchives:
    """`client.archives`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        name: str,
        *,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> pb.Archive:
        """Raises: InvalidArgument."""
        archive = pb.Archive(name=name, description=description, metadata=struct(metadata))
        request = pb.CreateArchiveRequest(archive=archive, request_id=request_id or str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "CreateArchive", request, pb.CreateArchiveResponse)).archive

    async def get(self, archive_id: str) -> pb.Archive:
        """Raises: NotFound."""
        request = pb.GetArchiveRequest(archive_id=archive_id)
        return (await self._transport.unary(_SERVICE + "GetArchive", request, pb.GetArchiveResponse)).archive

    async def list(self, name: str = "", *, shared: bool = False) -> AsyncIterator[pb.Archive]:
        """Of this name, or all; oldest first. `shared`: those that your account shares with you."""
        request = pb.ListArchivesRequest(name=name, shared=shared, page_size=200)
        while True:
            page = await self._transport.unary(_SERVICE + "ListArchives", request, pb.ListArchivesResponse)
            for archive in page.archives:
                yield archive
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def delete(self, archive_id: str) -> None:
        """Deletes it with all that is in it. Raises: NotFound."""
        request = pb.DeleteArchiveRequest(archive_id=archive_id, request_id=str(uuid.uuid4()))
        await self._transport.unary(_SERVICE + "DeleteArchive", request, pb.DeleteArchiveResponse)

    async def search(
        self,
        query: str,
        *,
        archive_ids: Sequence[str] = (),
        document_ids: Sequence[str] = (),
        file_names: Sequence[str] = (),
        tags: Sequence[str] = (),
        limit: int = 10,
    ) -> Sequence[pb.PassageHit]:
        """The best hits, best first, in these archives (none given: in all), documents, files. Raises: InvalidArgument.

        for hit in await client.archives.search("notice period", file_names=["contract.pdf"]):
            print(hit.passage.source.page, hit.passage.text)
        """
        request = pb.SearchPassagesRequest(
            query=query,
            archive_ids=archive_ids,
            document_ids=document_ids,
            file_names=file_names,
            tags=tags,
            limit=limit,
        )
        return (await self._transport.unary(_SERVICE + "SearchPassages", request, pb.SearchPassagesResponse)).hits

    async def passages(
        self, archive_ids: Sequence[str] = (), *, document_ids: Sequence[str] = ()
    ) -> AsyncIterator[pb.Passage]:
        """All passages of these archives (none given: of all) and documents, in the order in which they came."""
        request = pb.ListPassagesRequest(archive_ids=archive_ids, document_ids=document_ids, page_size=500)
        while True:
            page = await self._transport.unary(_SERVICE + "ListPassages", request, pb.ListPassagesResponse)
            for passage in page.passages:
                yield passage
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def get_passage(self, passage_id: str) -> pb.Passage:
        """Raises: NotFound."""
        request = pb.GetPassageRequest(passage_id=passage_id)
        return (await self._transport.unary(_SERVICE + "GetPassage", request, pb.GetPassageResponse)).passage

    async def count(self, archive_ids: Sequence[str] = ()) -> int:
        """How many passages are in these archives; none given: in all."""
        request = pb.CountPassagesRequest(archive_ids=archive_ids)
        return (await self._transport.unary(_SERVICE + "CountPassages", request, pb.CountPassagesResponse)).count

    async def insert(
        self,
        archive_id: str,
        passages: Sequence[pb.Passage],
        *,
        create_archive_name: str = "",
        request_id: str | None = None,
    ) -> Sequence[pb.Passage]:
        """Inserts up to 1,000 passages. With a name, the archive is made if it is not there.

        Raises: NotFound, AlreadyExists for a passage id that is taken, InvalidArgument, Unavailable.
        """
        request = pb.InsertPassagesRequest(
            archive_id=archive_id,
            request_id=request_id or str(uuid.uuid4()),
            passages=passages,
            create_archive_name=create_archive_name,
        )
        return (await self._transport.unary(_SERVICE + "InsertPassages", request, pb.InsertPassagesResponse)).passages
