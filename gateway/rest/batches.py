"""Batches of messages, which are answered in the background; and jobs: turns that run there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import Field

from gateway import journal
from gateway.agentfile.messages import written
from gateway.batches.batches import Batches
from gateway.rest import run_shapes
from gateway.rest.common import Back, NewestFirst, OldestFirst, answer, answers, request_id
from gateway.rest.endpoints import Given, Router
from gateway.rest.runs import STATES
from gateway.rest.schemas import Body, MessagesCreate
from gateway.rest.starting import start_request
from gateway.stores.batches import Batch, Item, State
from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import InvalidArgument, NotFound
from triptych.type.v1 import type_pb2

router = Router(prefix="/v1", tags=["batches"])


async def _batches(request: Request) -> Batches:
    batches: Batches = request.app.state.batches
    return batches


Kept = Annotated[Batches, Given(_batches)]


class BatchedMessages(MessagesCreate):
    agent_id: str


class BatchCreate(Body):
    requests: list[BatchedMessages] = Field(min_length=1, max_length=1_000)
    callback_url: str | None = None


@router.post("/messages/batches")
async def create_batch(body: BatchCreate, request: Request, back: Back, kept: Kept) -> Response:
    """Runs a turn for each request, several at a time, whether anybody waits or not."""
    if body.callback_url:
        raise InvalidArgument.of("callback_url", "nobody is called back here: ask for the batch's status")
    starts = [
        await start_request(each.agent_id, "", each, request, back, deltas=False, background=True)
        for each in body.requests
    ]
    if any(start.approvals or start.tool_returns for start in starts):
        raise InvalidArgument.of("requests", "answers to waiting turns can't be sent in a batch")
    return answer(_shown(await kept.create(starts, request_id(request))))


@router.get("/messages/batches")
async def list_batches(kept: Kept, listing: NewestFirst) -> Response:
    descending = listing.order == type_pb2.SORT_ORDER_DESCENDING
    found = await kept.list_page(listing.limit, before_id=listing.before, after_id=listing.after, descending=descending)
    return answers(found, _shown)


@router.get("/messages/batches/{batch_id}")
async def get_batch(batch_id: str, kept: Kept) -> Response:
    return answer(_shown(await kept.get(batch_id)))


@router.patch("/messages/batches/{batch_id}/cancel")
async def cancel_batch(batch_id: str, kept: Kept) -> Response:
    return answer(_shown(await kept.cancel(batch_id)))


@router.get("/messages/batches/{batch_id}/messages")
async def list_messages(
    batch_id: str, back: Back, kept: Kept, listing: OldestFirst, agent_id: str | None = None
) -> Response:
    """What was said in its turns so far, in the order of the requests."""
    found = [each async for each in _messages(back, await kept.items(batch_id, agent_id or ""))]
    if listing.order == type_pb2.SORT_ORDER_DESCENDING:
        found.reverse()
    return answer({"messages": listing.part(found, lambda message: str(message["id"]))})


@router.get("/jobs")
async def list_jobs(
    back: Back,
    listing: NewestFirst,
    statuses: Annotated[list[str] | None, Query()] = None,
    active: bool = False,
) -> Response:
    """Turns that run, or ran, in the background."""
    wanted = ["created", "running"] if active else statuses or []
    request = pb.ListTurnsRequest(
        **listing.paging,
        background_only=True,
        states=[STATES[status] for status in wanted if status in STATES],
    )
    return answers((await back.agent_peer.unary(back.turns.ListTurns, request)).turns, _job)


@router.get("/jobs/active")
async def list_active_jobs(back: Back, listing: NewestFirst) -> Response:
    return await list_jobs(back, listing, None, active=True)


@router.get("/jobs/{job_id}")
async def get_job(job_id: str, back: Back, kept: Kept) -> Response:
    """A turn's, or a batch's."""
    if job_id.startswith("batch-"):
        return await get_batch(job_id, kept)
    return answer(_job((await back.agent_peer.unary(back.turns.GetTurn, pb.GetTurnRequest(turn_id=job_id))).turn))


@router.patch("/jobs/{job_id}/cancel")
async def cancel_job(job_id: str, back: Back, kept: Kept) -> Response:
    if job_id.startswith("batch-"):
        return await cancel_batch(job_id, kept)
    cancel = pb.CancelTurnRequest(turn_id=job_id)
    return answer(_job((await back.agent_peer.unary(back.turns.CancelTurn, cancel)).turn))


async def _messages(back: Back, items: list[Item]) -> AsyncIterator[dict[str, Any]]:
    for item in items:
        if not item.turn_id:
            continue
        try:
            messages = journal.said(await journal.events(back, item.turn_id))
        except NotFound:  # it went with its agent
            continue
        for message in messages:
            yield {
                **written(message, 0, message.conversation_id),
                "id": message.id,
                "agent_id": message.agent_id or item.agent_id,
                "step_id": message.step_id or None,
                "batch_item_id": f"batch_item-{item.position}",
            }


def _shown(batch: Batch) -> dict[str, Any]:
    counts = {state.name.lower(): batch.counts.get(state, 0) for state in State}
    return {
        "id": batch.id,
        "job_type": "batch",
        "status": _status(batch),
        "created_at": _time(batch.created_at),
        "completed_at": _time(batch.ended_at),
        "metadata": {"turns": sum(counts.values()), **counts},
        "background": True,
    }


def _status(batch: Batch) -> str:
    if batch.cancelled:
        return "cancelled"
    if batch.ended_at is None:
        return "running" if set(batch.counts) - {State.WAITING} else "created"
    return "failed" if set(batch.counts) == {State.FAILED} else "completed"


def _job(turn: pb.Turn) -> dict[str, Any]:
    return {**run_shapes.run(turn), "job_type": "run"}


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()
