"""Serves conversations: an agent's threads over one memory."""

from __future__ import annotations

from sqlalchemy import Connection

from agent_service.cleanup import Cleaner
from agent_service.replicas.forwarding import Forwarder, forwarded
from agent_service.servicing import Servicing, window_of
from agent_service.stores import agents, conversation_removal, conversations
from agent_service.turns.between import BetweenTurns
from agent_service.turns.engine import TurnEngine
from agent_service.turns.forking import Forker
from servicekit import principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import agent_pb2 as pb


class ConversationServicer(Servicing):
    _engine: TurnEngine
    _between: BetweenTurns
    _forker: Forker
    _cleaner: Cleaner
    _forwarder: Forwarder

    async def CreateConversation(
        self, request: pb.CreateConversationRequest, context: Context
    ) -> pb.CreateConversationResponse:
        wanted = request.conversation
        wanted.ClearField("forked_from_id")

        def work(connection: Connection, tenant: Tenant) -> pb.CreateConversationResponse:
            agents.get(connection, tenant, wanted.agent_id)
            return pb.CreateConversationResponse(conversation=conversations.create(connection, tenant, wanted))

        return await self._once(request, pb.CreateConversationResponse, work)

    async def GetConversation(self, request: pb.GetConversationRequest, context: Context) -> pb.GetConversationResponse:
        tenant = principal.tenant()
        found = await self._store.read(lambda c: conversations.get(c, tenant, request.conversation_id))
        return pb.GetConversationResponse(conversation=found)

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: Context
    ) -> pb.ListConversationsResponse:
        tenant, window = principal.tenant(), window_of(request, newest_first=True)
        found, token = await self._store.read(lambda c: conversations.list_page(c, tenant, request, window))
        return pb.ListConversationsResponse(conversations=found, next_page_token=token)

    @forwarded
    async def UpdateConversation(
        self, request: pb.UpdateConversationRequest, context: Context
    ) -> pb.UpdateConversationResponse:
        # A turn that folds its window writes the summary too: not at the same time.
        tenant, wanted = principal.tenant(), request.conversation
        await self._store.read(lambda c: conversations.get(c, tenant, wanted.id))

        def work(connection: Connection, tenant: Tenant) -> pb.UpdateConversationResponse:
            changed = conversations.change(connection, tenant, wanted, request.update_mask.paths)
            return pb.UpdateConversationResponse(conversation=changed)

        async with self._engine.between_turns(tenant, wanted.id):
            response = await self._once(request, pb.UpdateConversationResponse, work)
            self._between.forget(wanted.id)
            return response

    @forwarded
    async def DeleteConversation(
        self, request: pb.DeleteConversationRequest, context: Context
    ) -> pb.DeleteConversationResponse:
        tenant = principal.tenant()

        def work(connection: Connection, tenant: Tenant) -> pb.DeleteConversationResponse:
            conversation_removal.remove(connection, tenant, request.conversation_id)
            return pb.DeleteConversationResponse()

        if await self._store.read(lambda c: conversation_removal.may_remove(c, tenant, request.conversation_id)):
            await self._engine.stop(tenant, conversation_id=request.conversation_id)
        response = await self._once(request, pb.DeleteConversationResponse, work)
        self._between.forget(request.conversation_id)
        await self._cleaner.run_soon()
        return response

    @forwarded
    async def ForkConversation(
        self, request: pb.ForkConversationRequest, context: Context
    ) -> pb.ForkConversationResponse:
        return await self._forker.fork(principal.current(), request)

    @forwarded
    async def CompactConversation(
        self, request: pb.CompactConversationRequest, context: Context
    ) -> pb.CompactConversationResponse:
        return await self._between.compact(principal.current(), request)

    @forwarded
    async def ResetConversation(
        self, request: pb.ResetConversationRequest, context: Context
    ) -> pb.ResetConversationResponse:
        return await self._between.reset(principal.current(), request)
