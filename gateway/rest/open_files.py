"""The files of an agent's folders, and which of them are open in its context."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from gateway.rest import forms
from gateway.rest.agents import fetch_agent
from gateway.rest.common import Back, NewestFirst, answer, request_id
from gateway.rest.endpoints import Router
from gateway.rest.folders import documents_of
from triptych import archives
from triptych.agent.v1 import agent_pb2 as pb
from triptych.archival.v1 import archival_pb2

router = Router(prefix="/v1/agents/{agent_id}/files", tags=["folders"])


@router.get("")
async def list_files(agent_id: str, back: Back, listing: NewestFirst, is_open: bool | None = None) -> Response:
    agent = await fetch_agent(back, agent_id)
    views = {view.document_id: view for view in agent.open_files}
    documents = [
        each
        for each in await documents_of(back, archives.searched(agent), listing)
        if is_open in (None, each.id in views)
    ]
    folders = await _folder_names(back, {each.archive_id for each in documents})
    shown = [_shown(each, folders[each.archive_id], views.get(each.id)) for each in documents]
    page = listing.part(shown, lambda each: str(each["id"]))
    more = bool(page) and page[-1]["id"] != shown[-1]["id"]
    return answer({"files": page, "next_cursor": page[-1]["id"] if more else None, "has_more": more})


@router.patch("/close-all")
async def close_all(agent_id: str, request: Request, back: Back) -> Response:
    """Gives the names of the files that were open."""
    close = pb.CloseFilesRequest(agent_id=agent_id, request_id=request_id(request))
    closed = await back.agent_peer.unary(back.agents.CloseFiles, close)
    return answer([view.file_name for view in closed.closed_files])


@router.patch("/{file_id}/open")
async def open_file(agent_id: str, file_id: str, request: Request, back: Back) -> Response:
    """Has its first characters stand in the agent's context; gives the names of files that were closed for it."""
    wanted = pb.OpenFileRequest(agent_id=agent_id, document_id=file_id, request_id=request_id(request))
    opened = await back.agent_peer.unary(back.agents.OpenFile, wanted)
    return answer([view.file_name for view in opened.closed_files])


@router.patch("/{file_id}/close")
async def close_file(agent_id: str, file_id: str, request: Request, back: Back) -> Response:
    close = pb.CloseFilesRequest(agent_id=agent_id, document_id=file_id, request_id=request_id(request))
    await back.agent_peer.unary(back.agents.CloseFiles, close)
    return answer({"message": f"File id={file_id} is closed"})


async def _folder_names(back: Back, folder_ids: set[str]) -> dict[str, str]:
    names = {}
    for folder_id in folder_ids:
        request = archival_pb2.GetArchiveRequest(archive_id=folder_id)
        names[folder_id] = (await back.archival_peer.unary(back.archival.GetArchive, request)).archive.name
    return names


def _shown(document: archival_pb2.Document, folder_name: str, view: pb.FileView | None) -> dict[str, Any]:
    return {
        "id": document.id,
        "file_id": document.id,
        "file_name": document.file_name,
        "folder_id": document.archive_id,
        "folder_name": folder_name,
        "is_open": view is not None,
        "last_accessed_at": forms.time(view.open_time) if view else None,
        "visible_content": view.text if view else None,
        "start_line": None,
        "end_line": None,
    }
