"""Agents that are shared with other users of the account: `SharingService` as REST."""

from __future__ import annotations

import uuid

from fastapi import Request, Response
from google.protobuf.message import Message

from gateway.rest import contract_routes, proto_json
from gateway.rest.common import Back, answer
from gateway.rest.contract_routes import Route
from gateway.rest.endpoints import Router
from triptych.agent.v1 import sharing_pb2 as pb

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
    fields = {**await proto_json.body(request), "agent_id": agent_id, "deltas": False}
    start = proto_json.parsed(pb.StartSharedTurnRequest, fields)
    start.request_id = start.request_id or request.headers.get("idempotency-key") or str(uuid.uuid4())
    said, turn = [], None
    async for response in back.agent_peer.stream(back.sharing.StartSharedTurn, start):
        if response.event.HasField("message"):
            said.append(proto_json.shown(response.event.message))
        if response.event.HasField("done"):
            turn = proto_json.shown(response.event.done.turn)
    return answer({"messages": said, "turn": turn})
