"""Runs: turns as letta-client programs know them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from gateway import journal
from gateway.rest import letta_messages, run_shapes, shapes, turns
from gateway.rest.common import Back, NewestFirst, OldestFirst, answer, answers
from gateway.rest.endpoints import Router
from gateway.rest.schemas import StreamFrom
from triptych.agent.v1 import agent_pb2
from triptych.agent.v1 import turn_pb2 as pb
from triptych.type.v1 import type_pb2

router = Router(prefix="/v1/runs", tags=["runs"])

STATES = {
    "created": pb.TURN_STATE_QUEUED,
    "running": pb.TURN_STATE_RUNNING,
    "completed": pb.TURN_STATE_COMPLETED,
    "failed": pb.TURN_STATE_FAILED,
    "cancelled": pb.TURN_STATE_CANCELLED,
}


@router.get("")
async def list_runs(
    back: Back,
    listing: NewestFirst,
    agent_id: str | None = None,
    conversation_id: str | None = None,
    statuses: Annotated[list[str] | None, Query()] = None,
    active: bool = False,
) -> Response:
    wanted = ["created", "running"] if active else statuses or []
    request = pb.ListTurnsRequest(
        **listing.paging,
        agent_id=agent_id or "",
        conversation_id=conversation_id or "",
        states=[STATES[status] for status in wanted if status in STATES],
    )
    response = await back.agent_peer.unary(back.turns.ListTurns, request)
    return answers(response.turns, run_shapes.run)


@router.get("/{run_id}")
async def get_run(run_id: str, back: Back) -> Response:
    response = await back.agent_peer.unary(back.turns.GetTurn, pb.GetTurnRequest(turn_id=run_id))
    return answer(run_shapes.run(response.turn))


@router.get("/{run_id}/usage")
async def get_usage(run_id: str, back: Back) -> Response:
    response = await back.agent_peer.unary(back.turns.GetTurn, pb.GetTurnRequest(turn_id=run_id))
    return answer(run_shapes.usage(response.turn))


@router.post("/{run_id}/undo")
async def undo_sleep_time(run_id: str, back: Back, request_id: str = "") -> Response:
    """Takes back all that a run of sleep-time memory wrote."""
    request = agent_pb2.UndoSleepTimeTurnRequest(turn_id=run_id, request_id=request_id)
    undone = await back.agent_peer.unary(back.agents.UndoSleepTimeTurn, request)
    return answer({"blocks": list(map(shapes.block, undone.blocks)), "passage_ids": list(undone.passage_ids)})


@router.get("/{run_id}/messages")
async def list_messages(run_id: str, back: Back, listing: OldestFirst) -> Response:
    """The input, and what the run's steps have said and done by now."""
    messages = journal.said(await journal.events(back, run_id))
    if listing.order == type_pb2.SORT_ORDER_DESCENDING:
        messages.reverse()
    return answer(letta_messages.expanded(listing.part(messages, lambda message: message.id)))


@router.post("/{run_id}/stream")
async def rejoin(run_id: str, back: Back, body: StreamFrom | None = None) -> Response:
    """The run's events behind the one that the program has last seen, and on to its end."""
    events = await turns.rejoined(back, run_id, body.starting_after if body else 0)
    return turns.streamed(events)
