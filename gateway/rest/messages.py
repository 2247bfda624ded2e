"""Messages: talking with an agent, and what was said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response

from gateway.rest import letta_messages, run_shapes, turns
from gateway.rest.agents import fetch_agent
from gateway.rest.common import Back, Listing, NewestFirst, answer
from gateway.rest.endpoints import Router
from gateway.rest.letta_messages import Wanted
from gateway.rest.schemas import MessagesCancel, MessagesCreate, MessageUpdate
from gateway.rest.starting import start_request
from servicekit import ids
from triptych.agent.v1 import turn_pb2
from triptych.errors import NotFound
from triptych.recall.v1 import recall_pb2

router = Router(prefix="/v1", tags=["messages"])

Types = Annotated[list[str] | None, Query(alias="include_return_message_types")]


@router.post("/agents/{agent_id}/messages")
async def send_message(agent_id: str, body: MessagesCreate, request: Request, back: Back) -> Response:
    if body.streaming:
        return await stream_turn(agent_id, "", body, request, back)
    return await whole_turn(agent_id, "", body, request, back)


@router.post("/agents/{agent_id}/messages/stream")
async def stream_message(agent_id: str, body: MessagesCreate, request: Request, back: Back) -> Response:
    return await stream_turn(agent_id, "", body, request, back)


@router.post("/agents/{agent_id}/messages/async")
async def send_in_background(agent_id: str, body: MessagesCreate, request: Request, back: Back) -> Response:
    start = await start_request(agent_id, "", body, request, back, deltas=False, background=True)
    return answer(run_shapes.run(await turns.accepted(back, start)))


@router.post("/agents/{agent_id}/messages/cancel")
async def cancel(agent_id: str, back: Back, body: MessagesCancel | None = None) -> Response:
    """Cancels the turns of the agent that are not over: those that are named, or all."""
    await fetch_agent(back, agent_id)
    return answer(await cancel_turns(back, agent_id, "", only=body.run_ids if body else None))


@router.get("/agents/{agent_id}/messages")
async def list_messages(
    agent_id: str, back: Back, listing: NewestFirst, conversation_id: str | None = None, types: Types = None
) -> Response:
    # Side by side. Which conversation is an agent's default one is known by its id; whether there is that agent is not.
    wanted = ids.derived("conv", agent_id) if conversation_id in (None, "default") else conversation_id
    page = messages_page(back, listing, agent_id=agent_id, conversation_id=wanted, types=types)
    _, shown = await asyncio.gather(fetch_agent(back, agent_id), page)
    return shown


@router.patch("/agents/{agent_id}/messages/{message_id}")
async def update_message(agent_id: str, message_id: str, body: MessageUpdate, back: Back) -> Response:
    await fetch_agent(back, agent_id)
    request = recall_pb2.UpdateMessageRequest(message_id=message_id, text=body.content)
    response = await back.recall_peer.unary(back.recall.UpdateMessage, request)
    return answer(letta_messages.parts(response.message)[-1])


@router.get("/messages")
async def list_all_messages(
    back: Back, listing: NewestFirst, conversation_id: str | None = None, types: Types = None
) -> Response:
    return await messages_page(back, listing, agent_id="", conversation_id=conversation_id or "", types=types)


@router.get("/messages/{message_id}")
async def get_message(message_id: str, back: Back) -> Response:
    request = recall_pb2.GetMessagesRequest(message_ids=[message_id])
    response = await back.recall_peer.unary(back.recall.GetMessages, request)
    if not response.messages:
        raise NotFound("message", message_id)
    return answer(letta_messages.expanded(response.messages))


async def messages_page(
    back: Back, listing: Listing, *, agent_id: str, conversation_id: str, types: Sequence[str] | None
) -> Response:
    """`types`: the message types wanted; None: all."""
    roles = letta_messages.roles(types or ())
    if types and not roles:
        return answer([])
    request = recall_pb2.ListMessagesRequest(
        agent_id=agent_id, conversation_id=conversation_id, roles=roles, **listing.paging
    )
    while True:  # a page of which nothing is shown would be the list's end to who reads it
        response = await back.recall_peer.unary(back.recall.ListMessages, request)
        shown = letta_messages.expanded(response.messages, Wanted(types or None))
        if shown or not response.next_page_token:
            return answer(shown)
        request.page_token = response.next_page_token


async def whole_turn(
    agent_id: str, conversation_id: str, body: MessagesCreate, request: Request, back: Back
) -> Response:
    """All that comes of the turn, when it is over."""
    start = await start_request(agent_id, conversation_id, body, request, back, deltas=False, background=False)
    finished = await turns.run_to_end(back, start)
    return answer(
        {
            "messages": finished.shown(body.wanted),
            "stop_reason": run_shapes.stop_reason(finished.turn),
            "usage": run_shapes.usage(finished.turn),
        }
    )


async def stream_turn(
    agent_id: str, conversation_id: str, body: MessagesCreate, request: Request, back: Back
) -> Response:
    """The turn as server-sent events. A turn that is not accepted is still a plain error."""
    start = await start_request(
        agent_id, conversation_id, body, request, back, deltas=body.stream_tokens, background=body.background
    )
    return turns.streamed(await turns.begun(back, start), body.wanted)


async def cancel_turns(
    back: Back, agent_id: str, conversation_id: str, *, only: Sequence[str] | None = None
) -> dict[str, str]:
    """The state of each turn that was not over, by its id. An empty conversation means all of the agent's.

    `only`: of these turns; None: of all.
    """
    live = [turn_pb2.TURN_STATE_QUEUED, turn_pb2.TURN_STATE_RUNNING, turn_pb2.TURN_STATE_WAITING]
    request = turn_pb2.ListTurnsRequest(agent_id=agent_id, conversation_id=conversation_id, states=live, page_size=1000)
    cancelled = {}
    for turn in (await back.agent_peer.unary(back.turns.ListTurns, request)).turns:
        if only is not None and turn.id not in only:
            continue
        stopped = await back.agent_peer.unary(back.turns.CancelTurn, turn_pb2.CancelTurnRequest(turn_id=turn.id))
        cancelled[turn.id] = str(run_shapes.run(stopped.turn)["status"])
    return cancelled
