"""Agents that are shared with other users of the account: `SharingService` as REST."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import Request, Response
from google.protobuf.message import Message

from gateway.rest import contract_routes, proto_json, turns
from gateway.rest.common import Back, answer
from gateway.rest.contract_routes import Route
from gateway.rest.endpoints import Router
from triptych.agent.v1 import sharing_pb2 as pb
from triptych.errors import InvalidArgument

ROUTES: tuple[Route, ...] = (
    ("POST", "/agents/{agent_id}/shares", "ShareAgent", ""),
    ("GET", "/agents/{agent_id}/shares", "ListAgentShares", ""),
    ("DELETE", "/agents/{agent_id}/shares/{user_id}", "RevokeAgentShare", ""),
    ("GET", "/shared-agents", "ListSharedAgents", ""),
    ("GET", "/shared-agents/{agent_id}/messages", "ListSharedMessages", ""),
)
router = Router(prefix="/v1", tags=["sharing"])


async def _call(request: Request, name: str, message: Message) -> Message:
    back = request.app.state.backends
    response: Message = await back.agent_peer.unary(getattr(back.sharing, name), message)
    return response


contract_routes.add(router, pb.DESCRIPTOR.services_by_name["SharingService"], ROUTES, _call)


@router.post("/shared-agents/{agent_id}/messages")
async def send_message(agent_id: str, request: Request, back: Back) -> Response:
    """Says `{"text": …}` to a shared agent; answers with its messages when the turn is over."""
    start = _start(agent_id, await proto_json.body(request), request, deltas=False)
    said, turn = [], None
    async for response in back.agent_peer.stream(back.sharing.StartSharedTurn, start):
        if response.event.HasField("message"):
            said.append(proto_json.shown(response.event.message))
        if response.event.HasField("done"):
            turn = proto_json.shown(response.event.done.turn)
    return answer({"messages": said, "turn": turn})


@router.post("/shared-agents/{agent_id}/messages/stream")
async def stream_message(agent_id: str, request: Request, back: Back) -> Response:
    """The same as server-sent events, in the form of an agent's `messages/stream`; with `stream_tokens` in pieces.

    With the same `request_id` (or `Idempotency-Key`) and `"starting_after"`, the last `seq_id` seen, it goes on there.
    """
    fields = await proto_json.body(request)
    after, pieces = fields.pop("starting_after", 0), fields.pop("stream_tokens", False)
    if type(after) is not int:
        raise InvalidArgument.of("starting_after", "must be an integer")
    start = _start(agent_id, fields, request, deltas=bool(pieces))
    events = back.agent_peer.stream(back.sharing.StartSharedTurn, start)
    return turns.streamed(await turns.opened(_behind(events, after)))


def _start(agent_id: str, fields: proto_json.Json, request: Request, *, deltas: bool) -> pb.StartSharedTurnRequest:
    """Raises: InvalidArgument."""
    start = proto_json.parsed(pb.StartSharedTurnRequest, {**fields, "agent_id": agent_id, "deltas": deltas})
    start.request_id = start.request_id or request.headers.get("idempotency-key") or str(uuid.uuid4())
    return start


async def _behind(
    events: AsyncIterator[pb.StartSharedTurnResponse], after: int
) -> AsyncGenerator[pb.StartSharedTurnResponse]:
    """Without those up to that sequence, but for the first: that the turn is accepted."""
    async for response in events:
        if not 1 < response.event.sequence <= after:
            yield response
