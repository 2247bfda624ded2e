"""Identities: whom a program's agents and blocks are about or for. They are labels: the wall is the user."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Request, Response
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic import JsonValue

from gateway.rest import shapes
from gateway.rest.agents import Known, fetch_agent
from gateway.rest.common import Back, NewestFirst, OldestFirst, answer, answers, request_id, struct
from gateway.rest.endpoints import Router
from gateway.rest.schemas import Body
from triptych.agent.v1 import agent_pb2
from triptych.agent.v1 import identity_pb2 as pb

router = Router(prefix="/v1", tags=["identities"])

IdentityType = Literal["user", "org", "other"]
_TYPES: dict[str, Any] = {name: value for value, name in shapes.IDENTITY_TYPES.items()}
_LISTS = ("properties", "agent_ids", "block_ids")


class Property(Body):
    """The type of the value is read from the value itself."""

    key: str
    value: JsonValue = None


class IdentityUpdate(Body):
    identifier_key: str | None = None
    name: str | None = None
    identity_type: IdentityType | None = None
    agent_ids: list[str] | None = None
    block_ids: list[str] | None = None
    properties: list[Property] | None = None


class IdentityCreate(IdentityUpdate):
    identifier_key: str
    name: str
    identity_type: IdentityType = "user"


@router.post("/identities")
async def create_identity(body: IdentityCreate, request: Request, back: Back) -> Response:
    create = pb.CreateIdentityRequest(identity=_identity("", body), request_id=request_id(request))
    return answer(shapes.identity((await back.agent_peer.unary(back.identities.CreateIdentity, create)).identity))


@router.put("/identities")
async def upsert_identity(body: IdentityCreate, request: Request, back: Back) -> Response:
    """Makes it, or puts what is given in the place of what the identity of that key has."""
    paths = ["name", "type", *body.given(*_LISTS)]
    upsert = pb.UpsertIdentityRequest(
        identity=_identity("", body), update_mask=FieldMask(paths=paths), request_id=request_id(request)
    )
    return answer(shapes.identity((await back.agent_peer.unary(back.identities.UpsertIdentity, upsert)).identity))


@router.get("/identities")
async def list_identities(
    back: Back,
    listing: NewestFirst,
    name: str | None = None,
    identifier_key: str | None = None,
    identity_type: IdentityType | None = None,
) -> Response:
    request = pb.ListIdentitiesRequest(
        **listing.paging,
        name_contains=name or "",
        identifier_key=identifier_key or "",
        type=_TYPES[identity_type] if identity_type else pb.IDENTITY_TYPE_UNSPECIFIED,
    )
    response = await back.agent_peer.unary(back.identities.ListIdentities, request)
    return answers(response.identities, shapes.identity)


@router.get("/identities/count")
async def count_identities(back: Back) -> Response:
    return answer((await back.agent_peer.unary(back.identities.CountIdentities, pb.CountIdentitiesRequest())).count)


@router.get("/identities/{identity_id}")
async def get_identity(identity_id: str, back: Back) -> Response:
    return answer(shapes.identity(await _fetch(back, identity_id)))


@router.patch("/identities/{identity_id}")
async def update_identity(identity_id: str, body: IdentityUpdate, request: Request, back: Back) -> Response:
    """Adds the properties, agents and blocks that are given to those that it has."""
    paths = body.given("identifier_key", "name", *_LISTS)
    if body.identity_type is not None:
        paths.append("type")
    return await _changed(back, _identity(identity_id, body), paths, request, merge=True)


@router.put("/identities/{identity_id}/properties")
async def replace_properties(identity_id: str, body: list[Property], request: Request, back: Back) -> Response:
    """These and no others."""
    wanted = _identity(identity_id, IdentityUpdate(properties=body))
    return await _changed(back, wanted, ["properties"], request, merge=False)


@router.delete("/identities/{identity_id}")
async def delete_identity(identity_id: str, request: Request, back: Back) -> Response:
    delete = pb.DeleteIdentityRequest(identity_id=identity_id, request_id=request_id(request))
    await back.agent_peer.unary(back.identities.DeleteIdentity, delete)
    return answer(None)


@router.get("/identities/{identity_id}/agents")
async def list_agents(identity_id: str, back: Back, known: Known, listing: NewestFirst) -> Response:
    await _fetch(back, identity_id)
    request = agent_pb2.ListAgentsRequest(**listing.paging, identity_id=identity_id)
    response = await back.agent_peer.unary(back.agents.ListAgents, request)
    return answer(await known.agents(response.agents))


@router.get("/identities/{identity_id}/blocks")
async def list_blocks(identity_id: str, back: Back, listing: OldestFirst) -> Response:
    await _fetch(back, identity_id)
    request = agent_pb2.ListBlocksRequest(**listing.paging, identity_id=identity_id)
    return answers((await back.agent_peer.unary(back.agents.ListBlocks, request)).blocks, shapes.block)


@router.patch("/agents/{agent_id}/identities/{verb}/{identity_id}")
async def attach_or_detach(
    agent_id: str, verb: Literal["attach", "detach"], identity_id: str, back: Back, known: Known
) -> Response:
    await _attach_or_detach(back, verb, identity_id, agent_id=agent_id)
    return answer(await known.agent(await fetch_agent(back, agent_id)))


@router.patch("/blocks/{block_id}/identities/{verb}/{identity_id}")
async def attach_block_or_detach(
    block_id: str, verb: Literal["attach", "detach"], identity_id: str, back: Back
) -> Response:
    await _attach_or_detach(back, verb, identity_id, block_id=block_id)
    request = agent_pb2.GetBlockRequest(block_id=block_id)
    return answer(shapes.block((await back.agent_peer.unary(back.agents.GetBlock, request)).block))


async def _attach_or_detach(back: Back, verb: str, identity_id: str, **resource: str) -> None:
    if verb == "attach":
        attach = pb.AttachIdentityRequest(identity_id=identity_id, **resource)
        await back.agent_peer.unary(back.identities.AttachIdentity, attach)
    else:
        detach = pb.DetachIdentityRequest(identity_id=identity_id, **resource)
        await back.agent_peer.unary(back.identities.DetachIdentity, detach)


async def _fetch(back: Back, identity_id: str) -> pb.Identity:
    """Raises: NotFound."""
    request = pb.GetIdentityRequest(identity_id=identity_id)
    return (await back.agent_peer.unary(back.identities.GetIdentity, request)).identity


async def _changed(back: Back, wanted: pb.Identity, paths: list[str], request: Request, *, merge: bool) -> Response:
    update = pb.UpdateIdentityRequest(
        identity=wanted, update_mask=FieldMask(paths=paths), merge=merge, request_id=request_id(request)
    )
    return answer(shapes.identity((await back.agent_peer.unary(back.identities.UpdateIdentity, update)).identity))


def _identity(identity_id: str, body: IdentityUpdate) -> pb.Identity:
    return pb.Identity(
        id=identity_id,
        identifier_key=body.identifier_key or "",
        name=body.name or "",
        type=_TYPES.get(body.identity_type or "", pb.IDENTITY_TYPE_UNSPECIFIED),
        properties=struct({each.key: each.value for each in body.properties or []}),
        agent_ids=body.agent_ids,
        block_ids=body.block_ids,
    )
