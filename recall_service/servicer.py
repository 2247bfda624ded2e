"""Serves the contract: translates between it and the store."""

from __future__ import annotations

from dataclasses import replace

from recall_service import checks
from recall_service.embedding import EmbeddingWorker
from recall_service.search import Searcher
from recall_service.store import Filters, RecallStore, Scope
from recall_service.times import microseconds
from servicekit import metering, paging, principal, times
from servicekit.rpc import Context
from triptych.errors import InvalidArgument
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceServicer
from triptych.type.v1 import type_pb2

# What is searched unless roles are given: a tool's message repeats what a tool found, often by this very search.
_SPOKEN = (type_pb2.ROLE_SYSTEM, type_pb2.ROLE_USER, type_pb2.ROLE_ASSISTANT)
_DEFAULT_LIMIT = 10


class RecallServicer(RecallServiceServicer):
    def __init__(self, store: RecallStore, searcher: Searcher, worker: EmbeddingWorker) -> None:
        self._store, self._searcher, self._worker = store, searcher, worker

    async def AppendMessages(self, request: pb.AppendMessagesRequest, context: Context) -> pb.AppendMessagesResponse:
        checks.append(request)
        stored = await self._store.append(principal.tenant(), request)
        metering.kept(request.ByteSize())
        self._worker.wake()
        return pb.AppendMessagesResponse(messages=stored)

    async def UpdateMessage(self, request: pb.UpdateMessageRequest, context: Context) -> pb.UpdateMessageResponse:
        checks.identifier("message_id", request.message_id)
        checks.text("text", request.text)
        checks.request_id(request.request_id)
        updated = await self._store.update(principal.tenant(), request.message_id, request.text, request.request_id)
        self._worker.wake()
        return pb.UpdateMessageResponse(message=updated)

    async def GetMessages(self, request: pb.GetMessagesRequest, context: Context) -> pb.GetMessagesResponse:
        if len(request.message_ids) > checks.MAX_BATCH:
            raise InvalidArgument.of("message_ids", f"must be at most {checks.MAX_BATCH}")
        return pb.GetMessagesResponse(messages=await self._store.get(principal.tenant(), request.message_ids))

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:
        checks.roles(request.roles)
        tenant = principal.tenant()
        query = ("ListMessages", *tenant, request.agent_id, request.conversation_id)
        page = paging.read(
            size=request.page_size,
            token=request.page_token,
            query=(*query, request.before_id, request.after_id, sorted(request.roles)),
            order=request.order,
        )
        found, token = await self._store.list_page(tenant, request, page)
        return pb.ListMessagesResponse(messages=found, next_page_token=token)

    async def SearchMessages(self, request: pb.SearchMessagesRequest, context: Context) -> pb.SearchMessagesResponse:
        checks.search(request)
        if not request.query.strip():
            return pb.SearchMessagesResponse()
        filters = Filters(Scope(request.agent_id, request.conversation_id), tuple(request.roles) or _SPOKEN)
        if request.HasField("start_time"):
            filters = replace(filters, start=microseconds(request.start_time))
        if request.HasField("end_time"):
            filters = replace(filters, end=microseconds(request.end_time))
        hits = await self._searcher.search(
            principal.tenant(), request.query, request.mode, filters, request.limit or _DEFAULT_LIMIT
        )
        return pb.SearchMessagesResponse(hits=hits)

    async def CountMessages(self, request: pb.CountMessagesRequest, context: Context) -> pb.CountMessagesResponse:
        tenant, scope = principal.tenant(), Scope(request.agent_id, request.conversation_id)
        response = pb.CountMessagesResponse(count=await self._store.count(tenant, scope))
        if request.measure:
            response.stored_bytes = await self._store.stored_bytes(tenant, scope)
        return response

    async def PurgeMessages(self, request: pb.PurgeMessagesRequest, context: Context) -> pb.PurgeMessagesResponse:
        if not (request.agent_id or request.conversation_id or request.all):
            raise InvalidArgument.of("scope", "must be an agent_id, a conversation_id, or all=true")
        checks.request_id(request.request_id)
        scope = Scope(request.agent_id, request.conversation_id)
        times.check("before_time", request.before_time)
        before = microseconds(request.before_time) if request.HasField("before_time") else None
        purged = await self._store.purge(principal.tenant(), scope, before, request.request_id)
        return pb.PurgeMessagesResponse(purged_count=purged)
