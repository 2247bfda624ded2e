"""Archives and their passages."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress

from fastapi import Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.rest import forms, shapes
from gateway.rest.agents import fetch_agent
from gateway.rest.common import Back, NewestFirst, answer, answers, given_request_id, moment, struct
from gateway.rest.endpoints import Router
from gateway.rest.schemas import ArchiveCreate, ArchiveUpdate, PassageCreate, PassagesCreate
from triptych.archival.v1 import archival_pb2 as pb
from triptych.errors import NotFound

router = Router(prefix="/v1/archives", tags=["archives"])


@router.post("")
async def create_archive(body: ArchiveCreate, request: Request, back: Back) -> Response:
    wanted = pb.Archive(name=body.name, description=body.description or "")
    create = pb.CreateArchiveRequest(archive=wanted, request_id=given_request_id(request))
    response = await back.archival_peer.unary(back.archival.CreateArchive, create)
    return answer(shapes.archive(response.archive))


@router.get("")
async def list_archives(
    back: Back, listing: NewestFirst, name: str | None = None, agent_id: str | None = None, shared: bool = False
) -> Response:
    """The caller's own; `shared`: those that its account shares with it."""
    if agent_id is not None:
        return answer(listing.part(await _of_agent(back, agent_id, name), lambda archive: str(archive["id"])))
    request = pb.ListArchivesRequest(**listing.paging, name=name or "", shared=shared)
    response = await back.archival_peer.unary(back.archival.ListArchives, request)
    return answers(response.archives, shapes.archive)


@router.get("/{archive_id}")
async def get_archive(archive_id: str, back: Back) -> Response:
    response = await back.archival_peer.unary(back.archival.GetArchive, pb.GetArchiveRequest(archive_id=archive_id))
    return answer(shapes.archive(response.archive))


@router.patch("/{archive_id}")
async def update_archive(archive_id: str, body: ArchiveUpdate, back: Back) -> Response:
    paths = body.given("name", "description")
    wanted = pb.Archive(id=archive_id, **{path: getattr(body, path) for path in paths})
    request = pb.UpdateArchiveRequest(archive=wanted, update_mask=FieldMask(paths=paths))
    response = await back.archival_peer.unary(back.archival.UpdateArchive, request)
    return answer(shapes.archive(response.archive))


@router.delete("/{archive_id}")
async def delete_archive(archive_id: str, back: Back) -> Response:
    await back.archival_peer.unary(back.archival.DeleteArchive, pb.DeleteArchiveRequest(archive_id=archive_id))
    return Response(status_code=204)


@router.post("/{archive_id}/passages")
async def insert_passage(archive_id: str, body: PassageCreate, request: Request, back: Back) -> Response:
    (passage,) = await _insert(archive_id, [body], request, back)
    return answer(passage)


@router.post("/{archive_id}/passages/batch")
async def insert_passages(archive_id: str, body: PassagesCreate, request: Request, back: Back) -> Response:
    """All of them, or none."""
    return answer(await _insert(archive_id, body.passages, request, back))


@router.delete("/{archive_id}/passages/{passage_id}")
async def delete_passage(archive_id: str, passage_id: str, back: Back) -> Response:
    request = pb.DeletePassageRequest(passage_id=passage_id, archive_ids=[archive_id])
    await back.archival_peer.unary(back.archival.DeletePassage, request)
    return Response(status_code=204)


async def _of_agent(back: Back, agent_id: str, name: str | None) -> list[forms.Json]:
    """Those that the agent has, the one that it inserts into first. Raises: NotFound (the agent)."""
    found = []
    for archive_id in (await fetch_agent(back, agent_id)).archive_ids:
        request = pb.GetArchiveRequest(archive_id=archive_id)
        with suppress(NotFound):  # its own comes into being on the first insert
            archive = (await back.archival_peer.unary(back.archival.GetArchive, request)).archive
            if name is None or archive.name == name:
                found.append(shapes.archive(archive))
    return found


async def _insert(archive_id: str, bodies: Sequence[PassageCreate], request: Request, back: Back) -> list[forms.Json]:
    insert = pb.InsertPassagesRequest(
        archive_id=archive_id,
        request_id=request.headers.get("idempotency-key") or str(uuid.uuid4()),
        passages=[
            pb.Passage(
                text=body.text,
                tags=body.tags or [],
                metadata=struct(body.metadata),
                create_time=moment("created_at", body.created_at),
            )
            for body in bodies
        ],
    )
    response = await back.archival_peer.unary(back.archival.InsertPassages, insert)
    return [shapes.passage(passage) for passage in response.passages]
