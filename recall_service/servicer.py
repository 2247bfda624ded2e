"""Serves the contract: checks requests, and translates between it and the store."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from recall_service.embedding import EmbeddingWorker
from recall_service.search import Searcher
from recall_service.store import Store
from recall_service.stores import messages
from recall_service.stores.index import Filters
from recall_service.vectors import VectorCache
from servicekit import paging, principal
from servicekit.rpc import Context
from triptych.errors import InvalidArgument
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceServicer
from triptych.type.v1 import type_pb2

MAX_ID = 100
MAX_REQUEST_ID = 200
MAX_BATCH = 1_000
MAX_TEXT = 1_000_000
MAX_QUERY = 10_000
MAX_LIMIT = 100


class RecallServicer(RecallServiceServicer):
    def __init__(self, store: Store, searcher: Searcher, worker: EmbeddingWorker, cache: VectorCache) -> None:
        self._store, self._searcher, self._worker, self._cache = store, searcher, worker, cache

    async def AppendMessages(self, request: pb.AppendMessagesRequest, context: Context) -> pb.AppendMessagesResponse:
        tenant = principal.tenant()
        _check_append(request)
        stored = await self._store.write(lambda c: messages.append(c, tenant, request))
        self._worker.wake()
        return pb.AppendMessagesResponse(messages=stored)

    async def UpdateMessage(self, request: pb.UpdateMessageRequest, context: Context) -> pb.UpdateMessageResponse:
        tenant = principal.tenant()
        _check_text("text", request.text)
        changed = await self._store.write(lambda c: messages.change(c, tenant, request.message_id, request.text))
        self._cache.forget(tenant)
        self._worker.wake()
        return pb.UpdateMessageResponse(message=changed)

    async def GetMessages(self, request: pb.GetMessagesRequest, context: Context) -> pb.GetMessagesResponse:
        tenant = principal.tenant()
        if len(request.message_ids) > MAX_BATCH:
            raise InvalidArgument.of("message_ids", f"must be at most {MAX_BATCH}")
        found = await self._store.read(lambda c: messages.get_many(c, tenant, request.message_ids))
        return pb.GetMessagesResponse(messages=found)

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:
        tenant = principal.tenant()
        query = ("ListMessages", *tenant, request.agent_id, request.conversation_id, list(request.roles))
        page = paging.read(size=request.page_size, token=request.page_token, query=query, order=request.order)
        found, token = await self._store.read(lambda c: messages.list_page(c, tenant, request, page))
        return pb.ListMessagesResponse(messages=found, next_page_token=token)

    async def SearchMessages(self, request: pb.SearchMessagesRequest, context: Context) -> pb.SearchMessagesResponse:
        if len(request.query) > MAX_QUERY:
            raise InvalidArgument.of("query", f"must be at most {MAX_QUERY:,} characters")
        if not 0 <= request.limit <= MAX_LIMIT:
            raise InvalidArgument.of("limit", f"must be 0 (the default, 10) to {MAX_LIMIT}")
        filters = Filters(
            agent_id=request.agent_id,
            conversation_id=request.conversation_id,
            roles=tuple(request.roles),
            start=_time(request, "start_time"),
            end=_time(request, "end_time"),
        )
        if not request.query.strip():
            return pb.SearchMessagesResponse()
        hits = await self._searcher.search(
            principal.tenant(), request.query, request.mode, filters, request.limit or 10
        )
        return pb.SearchMessagesResponse(hits=hits)

    async def CountMessages(self, request: pb.CountMessagesRequest, context: Context) -> pb.CountMessagesResponse:
        tenant = principal.tenant()
        count = await self._store.read(lambda c: messages.count(c, tenant, request.agent_id, request.conversation_id))
        return pb.CountMessagesResponse(count=count)

    async def PurgeMessages(self, request: pb.PurgeMessagesRequest, context: Context) -> pb.PurgeMessagesResponse:
        tenant = principal.tenant()
        if not (request.agent_id or request.conversation_id or request.all):
            raise InvalidArgument.of("scope", "must be an agent_id, a conversation_id, or all=true")
        purged = await self._store.write(lambda c: messages.purge(c, tenant, request.agent_id, request.conversation_id))
        self._cache.forget(tenant)
        return pb.PurgeMessagesResponse(purged_count=purged)


def _check_append(request: pb.AppendMessagesRequest) -> None:
    """Raises: InvalidArgument."""
    for field in ("agent_id", "conversation_id"):
        if not 1 <= len(getattr(request, field)) <= MAX_ID:
            raise InvalidArgument.of(field, f"must be 1 to {MAX_ID} characters")
    if not 1 <= len(request.request_id) <= MAX_REQUEST_ID:
        raise InvalidArgument.of("request_id", f"must be 1 to {MAX_REQUEST_ID} characters")
    if not 1 <= len(request.messages) <= MAX_BATCH:
        raise InvalidArgument.of("messages", f"must be 1 to {MAX_BATCH}")
    for position, message in enumerate(request.messages):
        if message.role == type_pb2.ROLE_UNSPECIFIED:
            raise InvalidArgument.of(f"messages[{position}].role", "must be given")
        if len(message.id) > MAX_ID:
            raise InvalidArgument.of(f"messages[{position}].id", f"must be at most {MAX_ID} characters")
        _check_text(f"messages[{position}].text", message.text)


def _check_text(field: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise InvalidArgument.of(field, f"must be at most {MAX_TEXT:,} characters")


def _time(request: Any, field: str) -> int | None:
    """Microseconds, or None if it is not given."""
    if not request.HasField(field):
        return None
    value: Timestamp = getattr(request, field)
    return messages.microseconds(value)
