"""Serves agents to guests: what a guest may say and see, of an agent that is another user's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from sqlalchemy import Connection

from agent_service.cleanup import Cleaner
from agent_service.replicas.forwarding import Forwarder, forwarded_stream
from agent_service.store import Store
from agent_service.stores import guests
from agent_service.stores.requests import Response, once
from agent_service.tiers import Tiers
from agent_service.turn_servicer import MAX_TEXT
from agent_service.turns.engine import TurnEngine
from servicekit import principal
from servicekit.principal import Principal, Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import sharing_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.sharing_pb2_grpc import SharingServiceServicer
from triptych.errors import InvalidArgument
from triptych.recall.v1.recall_pb2 import ListMessagesRequest, Message
from triptych.type.v1 import type_pb2

MAX_REQUEST_ID = 100
_SHOWN = ("accepted", "text_delta", "error", "done", "step_restarted")
# What went wrong inside is the owner's to know.
_FAILED = "the turn failed"
_SAID = (type_pb2.ROLE_USER, type_pb2.ROLE_ASSISTANT)


class SharingServicer(SharingServiceServicer):
    def __init__(self, store: Store, engine: TurnEngine, tiers: Tiers, forwarder: Forwarder, cleaner: Cleaner) -> None:
        self._store, self._engine, self._tiers = store, engine, tiers
        self._forwarder, self._cleaner = forwarder, cleaner

    async def ShareAgent(self, request: pb.ShareAgentRequest, context: Context) -> pb.ShareAgentResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.ShareAgentResponse:
            return pb.ShareAgentResponse(share=guests.share(connection, tenant, request.agent_id, request.user_id))

        return await self._once(request, pb.ShareAgentResponse, work)

    async def ListAgentShares(self, request: pb.ListAgentSharesRequest, context: Context) -> pb.ListAgentSharesResponse:
        tenant = principal.tenant()
        found = await self._store.read(lambda c: guests.shares(c, tenant, request.agent_id))
        return pb.ListAgentSharesResponse(shares=found)

    async def RevokeAgentShare(
        self, request: pb.RevokeAgentShareRequest, context: Context
    ) -> pb.RevokeAgentShareResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.RevokeAgentShareResponse:
            guests.revoke(connection, tenant, request.agent_id, request.user_id)
            return pb.RevokeAgentShareResponse()

        tenant = principal.tenant()
        response = await self._once(request, pb.RevokeAgentShareResponse, work)
        conversation_id = guests.conversation_of(tenant, request.agent_id, request.user_id)
        await self._engine.stop(tenant, conversation_id=conversation_id)
        return response

    async def ListSharedAgents(
        self, request: pb.ListSharedAgentsRequest, context: Context
    ) -> pb.ListSharedAgentsResponse:
        guest = principal.tenant()
        return pb.ListSharedAgentsResponse(agents=await self._store.read(lambda c: guests.shared_with(c, guest)))

    @forwarded_stream
    async def StartSharedTurn(
        self, request: pb.StartSharedTurnRequest, context: Context
    ) -> AsyncIterator[pb.StartSharedTurnResponse]:
        guest = principal.tenant()
        if not 1 <= len(request.request_id) <= MAX_REQUEST_ID:
            raise InvalidArgument.of("request_id", f"must be 1 to {MAX_REQUEST_ID} characters")
        if not 1 <= len(request.text) <= MAX_TEXT:
            raise InvalidArgument.of("text", f"must be 1 to {MAX_TEXT:,} characters")
        owner, conversation_id = await self._store.read(lambda c: guests.place(c, guest, request.agent_id))
        started = turn_pb2.StartTurnRequest(
            agent_id=request.agent_id,
            conversation_id=conversation_id,
            # Ids of the owner's and of other guests are others.
            request_id=f"{guest.user_id}/{request.request_id}",
            messages=[turn_pb2.InputMessage(text=request.text)],
            deltas=request.deltas,
        )
        async with aclosing(self._engine.start(owner, started)) as events:
            async for event in events:
                if shown := _for_guest(event):
                    yield pb.StartSharedTurnResponse(event=shown)

    async def ListSharedMessages(
        self, request: pb.ListSharedMessagesRequest, context: Context
    ) -> pb.ListSharedMessagesResponse:
        guest = principal.tenant()
        owner, conversation_id = await self._store.read(lambda c: guests.place(c, guest, request.agent_id))
        wanted = ListMessagesRequest(
            agent_id=request.agent_id,
            conversation_id=conversation_id,
            page_size=request.page_size,
            page_token=request.page_token,
            order=request.order,
        )
        page = await self._tiers.list_messages(Principal(owner), wanted)
        said = [_said(message) for message in page.messages if message.role in _SAID and message.text]
        return pb.ListSharedMessagesResponse(messages=said, next_page_token=page.next_page_token)

    async def _once(
        self, request: Any, response_type: type[Response], work: Callable[[Connection, Tenant], Response]
    ) -> Response:
        tenant = principal.tenant()
        return await self._store.write(
            lambda c: once(c, tenant, request.request_id, request, response_type, lambda: work(c, tenant)),
            alone=tenant,
        )


def _for_guest(event: turn_pb2.TurnEvent) -> turn_pb2.TurnEvent | None:
    """What a guest is told of an event: the agent's thoughts, calls and what tools returned are its owner's."""
    kind = event.WhichOneof("event")
    if kind not in _SHOWN and not (kind == "message" and event.message.text):
        return None
    shown = turn_pb2.TurnEvent()
    shown.CopyFrom(event)
    if kind == "message":
        shown.message.CopyFrom(_said(event.message))
    if kind == "error":
        shown.error.message = _FAILED
    if kind == "done":
        shown.done.turn.ClearField("pending_calls")
        if shown.done.turn.HasField("error"):
            shown.done.turn.error.message = _FAILED
    return shown


def _said(message: Message) -> Message:
    return Message(
        id=message.id,
        sequence=message.sequence,
        role=message.role,
        text=message.text,
        create_time=message.create_time,
        turn_id=message.turn_id,
    )
