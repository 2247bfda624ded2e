"""Folders and files, as letta-client knows them: a folder is an archive, and a file a document in it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import File, Query, Request, Response, UploadFile
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.rest import forms, shapes
from gateway.rest.agents import fetch_agent
from gateway.rest.common import Back, Listing, NewestFirst, answer, answers, given_request_id, struct
from gateway.rest.endpoints import Router
from gateway.rest.memory import attach_archive, detach_archive
from gateway.rest.schemas import Body, Metadata
from triptych.agent.v1 import agent_pb2
from triptych.archival.v1 import archival_pb2 as pb
from triptych.errors import AlreadyExists, NotFound

FILE_TOOLS = ("open_files", "grep_files", "semantic_search_files")
router = Router(prefix="/v1", tags=["folders"])

_PIECE_BYTES = 512 * 1024
_PAGE = 1_000


class FolderUpdate(Body):
    name: str | None = None
    description: str | None = None
    metadata: Metadata | None = None


class FolderCreate(FolderUpdate):
    name: str


@router.post("/folders")
async def create_folder(body: FolderCreate, request: Request, back: Back) -> Response:
    wanted = pb.Archive(name=body.name, description=body.description or "", metadata=struct(body.metadata))
    create = pb.CreateArchiveRequest(archive=wanted, request_id=given_request_id(request))
    return answer(_folder((await back.archival_peer.unary(back.archival.CreateArchive, create)).archive))


@router.get("/folders")
async def list_folders(back: Back, listing: NewestFirst, name: str | None = None) -> Response:
    request = pb.ListArchivesRequest(**listing.paging, name=name or "")
    return answers((await back.archival_peer.unary(back.archival.ListArchives, request)).archives, _folder)


@router.get("/folders/{folder_id}")
async def get_folder(folder_id: str, back: Back) -> Response:
    return answer(_folder(await _fetch(back, folder_id)))


@router.patch("/folders/{folder_id}")
async def update_folder(folder_id: str, body: FolderUpdate, back: Back) -> Response:
    wanted = pb.Archive(
        id=folder_id, name=body.name or "", description=body.description or "", metadata=struct(body.metadata)
    )
    mask = FieldMask(paths=body.given("name", "description", "metadata"))
    request = pb.UpdateArchiveRequest(archive=wanted, update_mask=mask)
    return answer(_folder((await back.archival_peer.unary(back.archival.UpdateArchive, request)).archive))


@router.delete("/folders/{folder_id}")
async def delete_folder(folder_id: str, back: Back) -> Response:
    await back.archival_peer.unary(back.archival.DeleteArchive, pb.DeleteArchiveRequest(archive_id=folder_id))
    return answer(None)


@router.get("/folders/{folder_id}/agents")
async def list_agents(folder_id: str, back: Back, listing: NewestFirst) -> Response:
    """Ids of the agents that search it."""
    await _fetch(back, folder_id)
    request = agent_pb2.ListAgentsRequest(page_size=_PAGE, order=listing.order)
    ids: list[str] = []
    while True:
        response = await back.agent_peer.unary(back.agents.ListAgents, request)
        ids += [agent.id for agent in response.agents if folder_id in agent.archive_ids]
        request.page_token = response.next_page_token
        if not request.page_token:
            return answer(listing.part(ids, str))


@router.post("/folders/{folder_id}/upload")
async def upload(
    folder_id: str,
    back: Back,
    file: Annotated[UploadFile, File()],
    name: Annotated[str | None, Query()] = None,
    duplicate_handling: Annotated[Literal["skip", "error", "suffix", "replace"], Query()] = "replace",
) -> Response:
    """Takes the file in, and answers when all of it can be searched.

    The same content is taken in once. Of a file whose name is there already the new one takes the place, unless it is
    to be skipped, refused, or given a name of its own.
    """
    file_name = name or file.filename or "file"
    if duplicate_handling == "suffix":
        file_name = f"{uuid.uuid4().hex[:8]}-{file_name}"
    elif duplicate_handling != "replace":
        request = pb.ListDocumentsRequest(archive_ids=[folder_id], file_name=file_name, page_size=1)
        known = (await back.archival_peer.unary(back.archival.ListDocuments, request)).documents
        if known and duplicate_handling == "error":
            raise AlreadyExists("a file of that name is there already")
        if known:
            return answer(_file(known[0]))

    async def parts() -> AsyncIterator[pb.AddDocumentRequest]:
        header = pb.DocumentHeader(archive_id=folder_id, file_name=file_name, request_id=str(uuid.uuid4()))
        yield pb.AddDocumentRequest(header=header)
        while piece := await file.read(_PIECE_BYTES):
            yield pb.AddDocumentRequest(chunk=piece)

    document = pb.Document()
    async for response in back.archival_peer.exchange(back.archival.AddDocument, parts()):
        if response.HasField("document"):
            document = response.document
    return answer(_file(document))


@router.get("/folders/{folder_id}/files")
async def list_files(folder_id: str, back: Back, listing: NewestFirst) -> Response:
    await _fetch(back, folder_id)
    return answer(listing.part([_file(each) for each in await documents_of(back, [folder_id], listing)], _id))


@router.get("/folders/{folder_id}/files/{file_id}")
async def get_file(folder_id: str, file_id: str, back: Back) -> Response:
    return answer(_file(await _document(back, folder_id, file_id)))


@router.delete("/folders/{folder_id}/{file_id}")
async def delete_file(folder_id: str, file_id: str, back: Back) -> Response:
    await _document(back, folder_id, file_id)
    request = pb.DeleteDocumentRequest(document_id=file_id)
    await back.archival_peer.unary(back.archival.DeleteDocument, request)
    return Response(status_code=204)


@router.get("/agents/{agent_id}/folders")
async def list_agents_folders(agent_id: str, back: Back, listing: NewestFirst) -> Response:
    folders = []
    for archive_id in (await fetch_agent(back, agent_id)).archive_ids:
        try:
            folders.append(_folder(await _fetch(back, archive_id)))
        except NotFound:  # the agent's own, before its first insert
            continue
    return answer(listing.part(folders, _id))


@router.patch("/agents/{agent_id}/folders/{verb}/{folder_id}")
async def attach_or_detach(agent_id: str, verb: Literal["attach", "detach"], folder_id: str, back: Back) -> Response:
    """With its first folder an agent gets the tools that read files."""
    if verb == "attach":
        await attach_archive(back, agent_id, folder_id, FILE_TOOLS)
    else:
        await detach_archive(back, agent_id, folder_id)
    return answer(None)


async def _fetch(back: Back, folder_id: str) -> pb.Archive:
    """Raises: NotFound."""
    request = pb.GetArchiveRequest(archive_id=folder_id)
    return (await back.archival_peer.unary(back.archival.GetArchive, request)).archive


async def _document(back: Back, folder_id: str, file_id: str) -> pb.Document:
    """Raises: NotFound, also for another folder's."""
    await _fetch(back, folder_id)
    request = pb.GetDocumentRequest(document_id=file_id)
    document = (await back.archival_peer.unary(back.archival.GetDocument, request)).document
    if document.archive_id != folder_id:
        raise NotFound("document", file_id)
    return document


async def documents_of(back: Back, folder_ids: list[str], listing: Listing) -> list[pb.Document]:
    if not folder_ids:  # to archival_service that means all that the user has
        return []
    request = pb.ListDocumentsRequest(archive_ids=folder_ids, page_size=_PAGE, order=listing.order)
    found: list[pb.Document] = []
    while True:
        response = await back.archival_peer.unary(back.archival.ListDocuments, request)
        found += response.documents
        request.page_token = response.next_page_token
        if not request.page_token:
            return found


def _id(shown: dict[str, Any]) -> str:
    return str(shown["id"])


def _folder(archive: pb.Archive) -> forms.Json:
    return {**shapes.archive(archive), "instructions": None, "created_by_id": None, "last_updated_by_id": None}


def _file(document: pb.Document) -> forms.Json:
    done = document.state == pb.DOCUMENT_STATE_COMPLETE
    return {
        "id": document.id,
        "source_id": document.archive_id,
        "folder_id": document.archive_id,
        "file_name": document.file_name,
        "original_file_name": document.file_name,
        "file_type": document.media_type,
        "file_size": document.size_bytes,
        "processing_status": "completed" if done else "embedding",
        "total_chunks": document.passage_count,
        "chunks_embedded": document.passage_count if done else 0,
        "created_at": forms.time(document.create_time),
        "updated_at": forms.time(document.update_time),
    }
