"""Blocks on their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.rest import proto_json, shapes
from gateway.rest.agents import Known, fields, new_block
from gateway.rest.common import Back, OldestFirst, answer, answers, given_request_id
from gateway.rest.endpoints import Router
from gateway.rest.schemas import BlockCreate, BlockUpdate, Int32
from triptych.agent.v1 import agent_pb2 as pb

router = Router(prefix="/v1/blocks", tags=["blocks"])


@router.post("")
async def create_block(body: BlockCreate, request: Request, back: Back) -> Response:
    create = pb.CreateBlockRequest(block=new_block(body), request_id=given_request_id(request))
    response = await back.agent_peer.unary(back.agents.CreateBlock, create)
    return answer(shapes.block(response.block))


@router.get("")
async def list_blocks(
    back: Back,
    listing: OldestFirst,
    label: str | None = None,
    label_search: str | None = None,
    value_search: str | None = None,
    identity_id: str | None = None,
    identifier_keys: Annotated[list[str] | None, Query()] = None,
    shared: bool = False,
) -> Response:
    """The caller's own; `shared`: those that its account shares with it."""
    request = pb.ListBlocksRequest(
        **listing.paging,
        label=label or "",
        label_contains=label_search or "",
        value_contains=value_search or "",
        identity_id=identity_id or "",
        identifier_keys=identifier_keys,
        shared=shared,
    )
    response = await back.agent_peer.unary(back.agents.ListBlocks, request)
    return answers(response.blocks, shapes.block)


@router.get("/count")
async def count_blocks(back: Back) -> Response:
    response = await back.agent_peer.unary(back.agents.CountBlocks, pb.CountBlocksRequest())
    return answer(response.count)


@router.get("/{block_id}")
async def get_block(block_id: str, back: Back) -> Response:
    response = await back.agent_peer.unary(back.agents.GetBlock, pb.GetBlockRequest(block_id=block_id))
    return answer(shapes.block(response.block))


@router.patch("/{block_id}")
async def update_block(block_id: str, body: BlockUpdate, back: Back) -> Response:
    return answer(shapes.block(await changed_block(back, block_id, body)))


@router.delete("/{block_id}")
async def delete_block(block_id: str, back: Back) -> Response:
    await back.agent_peer.unary(back.agents.DeleteBlock, pb.DeleteBlockRequest(block_id=block_id))
    return answer({"message": f"Block id={block_id} successfully deleted"})


@router.get("/{block_id}/revisions")
async def list_revisions(
    block_id: str, back: Back, limit: Annotated[int, Query(ge=1, le=1000)] = 50, page_token: str = ""
) -> Response:
    """Newest first. `next_page_token` is empty at the end."""
    request = pb.ListBlockRevisionsRequest(block_id=block_id, page_size=limit, page_token=page_token)
    response = await back.agent_peer.unary(back.agents.ListBlockRevisions, request)
    return answer(proto_json.shown(response))


@router.get("/{block_id}/revisions/diff")
async def diff_revisions(block_id: str, back: Back, from_revision: Int32 = 0, to_revision: Int32 = 0) -> Response:
    """0 stands for the newest, and for the one before it."""
    request = pb.DiffBlockRevisionsRequest(block_id=block_id, from_revision=from_revision, to_revision=to_revision)
    response = await back.agent_peer.unary(back.agents.DiffBlockRevisions, request)
    return answer(proto_json.shown(response))


@router.post("/{block_id}/revisions/{revision}/undo")
async def undo_revision(block_id: str, revision: Int32, back: Back, request_id: str = "") -> Response:
    request = pb.UndoBlockRevisionRequest(block_id=block_id, revision=revision, request_id=request_id)
    response = await back.agent_peer.unary(back.agents.UndoBlockRevision, request)
    return answer(shapes.block(response.block))


@router.get("/{block_id}/agents")
async def list_agents_with(block_id: str, back: Back, known: Known, listing: OldestFirst) -> Response:
    await back.agent_peer.unary(back.agents.GetBlock, pb.GetBlockRequest(block_id=block_id))
    request = pb.ListAgentsRequest(**listing.paging, block_id=block_id)
    response = await back.agent_peer.unary(back.agents.ListAgents, request)
    return answer(await known.agents(response.agents))


async def changed_block(back: Back, block_id: str, body: BlockUpdate) -> pb.Block:
    """Raises: NotFound; InvalidArgument, FailedPrecondition for a value that the block can't take."""
    paths = body.given("label", "value", "description", "limit", "read_only", "metadata", "tags")
    wanted = pb.Block(id=block_id, **fields(body, paths))
    request = pb.UpdateBlockRequest(block=wanted, update_mask=FieldMask(paths=paths))
    response = await back.agent_peer.unary(back.agents.UpdateBlock, request)
    return response.block
