"""An agent's own memory: its blocks, and the archive it inserts into."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response

from gateway.rest import forms, shapes
from gateway.rest.agents import Known, fetch_agent
from gateway.rest.blocks import changed_block
from gateway.rest.common import Back, OldestFirst, answer, answers, moment, struct, tag_match
from gateway.rest.endpoints import Router
from gateway.rest.schemas import BlockUpdate, PassageCreate
from triptych import archives
from triptych.agent.v1 import agent_pb2
from triptych.archival.v1 import archival_pb2
from triptych.errors import NotFound

router = Router(prefix="/v1/agents/{agent_id}", tags=["memory"])


@router.get("/core-memory")
async def get_core_memory(agent_id: str, back: Back) -> Response:
    agent = await fetch_agent(back, agent_id)
    return answer({"blocks": [shapes.block(block) for block in agent.blocks], "file_blocks": [], "prompt_template": ""})


@router.get("/core-memory/blocks")
async def list_blocks(agent_id: str, back: Back, listing: OldestFirst) -> Response:
    agent = await fetch_agent(back, agent_id)
    # All of them are one page: there is nothing before the first or after the last.
    return answers([] if listing.after or listing.before else agent.blocks, shapes.block)


@router.get("/core-memory/blocks/{label}")
async def get_block(agent_id: str, label: str, back: Back) -> Response:
    return answer(shapes.block(await _labelled(back, agent_id, label)))


@router.patch("/core-memory/blocks/{label}")
async def update_block(agent_id: str, label: str, body: BlockUpdate, back: Back) -> Response:
    block = await _labelled(back, agent_id, label)
    return answer(shapes.block(await changed_block(back, block.id, body)))


@router.patch("/core-memory/blocks/{verb}/{block_id}")
async def attach_or_detach(
    agent_id: str, verb: Literal["attach", "detach"], block_id: str, back: Back, known: Known
) -> Response:
    if verb == "attach":
        attached = agent_pb2.AttachBlockRequest(agent_id=agent_id, block_id=block_id)
        return answer(await known.agent((await back.agent_peer.unary(back.agents.AttachBlock, attached)).agent))
    detached = agent_pb2.DetachBlockRequest(agent_id=agent_id, block_id=block_id)
    return answer(await known.agent((await back.agent_peer.unary(back.agents.DetachBlock, detached)).agent))


@router.post("/archival-memory")
async def insert_passage(agent_id: str, body: PassageCreate, request: Request, back: Back) -> Response:
    agent = await fetch_agent(back, agent_id)
    passage = archival_pb2.Passage(
        text=body.text,
        tags=body.tags or [],
        metadata=struct(body.metadata),
        create_time=moment("created_at", body.created_at),
    )
    insert = archival_pb2.InsertPassagesRequest(
        archive_id=archives.saved_to(agent),
        request_id=request.headers.get("idempotency-key") or str(uuid.uuid4()),
        passages=[passage],
        create_archive_name=f"{agent.name}'s archive",
    )
    response = await back.archival_peer.unary(back.archival.InsertPassages, insert)
    return answers(response.passages, shapes.passage)


@router.get("/archival-memory")
async def list_passages(agent_id: str, back: Back, listing: OldestFirst, search: str | None = None) -> Response:
    agent = await fetch_agent(back, agent_id)
    request = archival_pb2.ListPassagesRequest(
        archive_ids=archives.searched(agent), contains=search or "", **listing.paging
    )
    response = await back.archival_peer.unary(back.archival.ListPassages, request)
    return answers(response.passages, shapes.passage)


@router.get("/archival-memory/search")
async def search_passages(
    agent_id: str,
    back: Back,
    query: str,
    tags: Annotated[list[str] | None, Query()] = None,
    tag_match_mode: Literal["any", "all"] = "any",
    top_k: Annotated[int, Query(ge=1, le=100)] = 10,
    start_datetime: str | None = None,
    end_datetime: str | None = None,
) -> Response:
    agent = await fetch_agent(back, agent_id)
    request = archival_pb2.SearchPassagesRequest(
        archive_ids=archives.searched(agent),
        query=query,
        tags=tags or [],
        tag_match=tag_match(tag_match_mode),
        start_time=moment("start_datetime", start_datetime),
        end_time=moment("end_datetime", end_datetime, end=True),
        limit=top_k,
    )
    response = await back.archival_peer.unary(back.archival.SearchPassages, request)
    return answer({"count": len(response.hits), "results": [_found(hit.passage) for hit in response.hits]})


@router.delete("/archival-memory/{passage_id}")
async def delete_passage(agent_id: str, passage_id: str, back: Back) -> Response:
    agent = await fetch_agent(back, agent_id)
    request = archival_pb2.DeletePassageRequest(passage_id=passage_id, archive_ids=archives.searched(agent))
    await back.archival_peer.unary(back.archival.DeletePassage, request)
    return answer({"message": f"Memory id={passage_id} successfully deleted"})


def _found(passage: archival_pb2.Passage) -> dict[str, Any]:
    return {
        "id": passage.id,
        "content": passage.text,
        "timestamp": forms.time(passage.create_time),
        "tags": list(passage.tags),
    }


async def _labelled(back: Back, agent_id: str, label: str) -> agent_pb2.Block:
    """Raises: NotFound (agent, or block of that label)."""
    agent = await fetch_agent(back, agent_id)
    for block in agent.blocks:
        if block.label == label:
            return block
    raise NotFound(f"Block with label {label[:200]} not found")


@router.patch("/archives/{verb}/{archive_id}")
async def attach_or_detach_archive(
    agent_id: str, verb: Literal["attach", "detach"], archive_id: str, back: Back
) -> Response:
    await (attach_archive if verb == "attach" else detach_archive)(back, agent_id, archive_id)
    return answer(None)


async def attach_archive(back: Back, agent_id: str, archive_id: str, tools: Sequence[str] = ()) -> None:
    """Behind those that the agent has. `tools`: names of those that it gets with it. Raises: NotFound."""
    request = agent_pb2.AttachArchiveRequest(agent_id=agent_id, archive_id=archive_id, tools=tools)
    await back.agent_peer.unary(back.agents.AttachArchive, request)


async def detach_archive(back: Back, agent_id: str, archive_id: str) -> None:
    """Raises: NotFound."""
    request = agent_pb2.DetachArchiveRequest(agent_id=agent_id, archive_id=archive_id)
    await back.agent_peer.unary(back.agents.DetachArchive, request)
