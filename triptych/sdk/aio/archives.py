"""Archives by themselves: what documents and facts are kept in, whether an agent has them or not."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from triptych.agent.v1.agent_pb2 import (
    Agent,
    AttachArchiveRequest,
    AttachArchiveResponse,
    DetachArchiveRequest,
    DetachArchiveResponse,
)
from triptych.archival.v1 import archival_pb2 as pb
from triptych.sdk.aio.transport import AsyncTransport
from triptych.sdk.said import stamp, struct
from triptych.type.v1 import type_pb2

_AGENTS = "/triptych.agent.v1.AgentService/"
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
        """An archive that no agent has yet.

        Raises: InvalidArgument.

            archive = await client.archives.create("handbook", description="How we work")
        """
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

    async def update(self, archive: pb.Archive, *fields: str, request_id: str | None = None) -> pb.Archive:
        """Writes the named fields: name, description, metadata.

        Raises: NotFound, InvalidArgument.

            archive.description = "What we promise our customers"
            archive = await client.archives.update(archive, "description")
        """
        request = pb.UpdateArchiveRequest(
            archive=archive, update_mask=FieldMask(paths=fields), request_id=request_id or str(uuid.uuid4())
        )
        return (await self._transport.unary(_SERVICE + "UpdateArchive", request, pb.UpdateArchiveResponse)).archive

    async def attach(self, agent_id: str, archive_id: str) -> Agent:
        """Has an agent search this archive too; what it saves goes to its first.

        Raises: NotFound, InvalidArgument.

            agent = await client.archives.attach(agent.id, archive.id)
        """
        request = AttachArchiveRequest(agent_id=agent_id, archive_id=archive_id, request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_AGENTS + "AttachArchive", request, AttachArchiveResponse)).agent

    async def detach(self, agent_id: str, archive_id: str) -> Agent:
        """Takes an archive from an agent; it stays as it is. Raises: NotFound."""
        request = DetachArchiveRequest(agent_id=agent_id, archive_id=archive_id, request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_AGENTS + "DetachArchive", request, DetachArchiveResponse)).agent

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
        mode: type_pb2.SearchMode.ValueType = type_pb2.SEARCH_MODE_HYBRID,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 10,
    ) -> Sequence[pb.PassageHit]:
        """The best hits, best first, in these archives (none given: in all), documents, files.

        `tags`: any of these. `start`, `end`: of the passages' times; both are part of the range.
        Raises: InvalidArgument.

            for hit in await client.archives.search("notice period", file_names=["contract.pdf"]):
                print(hit.passage.source.page, hit.passage.text)
        """
        request = pb.SearchPassagesRequest(
            query=query,
            archive_ids=archive_ids,
            document_ids=document_ids,
            file_names=file_names,
            tags=tags,
            mode=mode,
            start_time=stamp(start),
            end_time=stamp(end),
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
        passages: Sequence[str | pb.Passage],
        *,
        create_archive_name: str = "",
        request_id: str | None = None,
    ) -> Sequence[pb.Passage]:
        """Inserts up to 1,000 passages. With a name, the archive is made if it is not there.

        Raises: NotFound, AlreadyExists for a passage id that is taken, InvalidArgument, Unavailable.

            await client.archives.insert(archive.id, ["We deliver on Tuesdays.", "We are closed in July."])
        """
        request = pb.InsertPassagesRequest(
            archive_id=archive_id,
            request_id=request_id or str(uuid.uuid4()),
            passages=[pb.Passage(text=each) if isinstance(each, str) else each for each in passages],
            create_archive_name=create_archive_name,
        )
        return (await self._transport.unary(_SERVICE + "InsertPassages", request, pb.InsertPassagesResponse)).passages
