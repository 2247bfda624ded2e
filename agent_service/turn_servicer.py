"""Serves turns: checks the request, and streams what the engine gives."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from agent_service.replicas.forwarding import Forwarder, forwarded, forwarded_stream
from agent_service.servicing import window_of
from agent_service.store import Store
from agent_service.stores import formats, sleeps
from agent_service.stores.requests import MAX_REQUEST_ID
from agent_service.tools import definitions
from agent_service.turns.continuing import Continuer
from agent_service.turns.engine import TurnEngine
from servicekit import principal
from servicekit.rpc import Context
from triptych.agent.v1 import turn_pb2 as pb
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.agent.v1.turn_pb2_grpc import TurnServiceServicer
from triptych.errors import FailedPrecondition, InvalidArgument
from triptych.type.v1 import type_pb2

MAX_MESSAGES = 100
MAX_EVENTS = 1_000
MAX_TEXT = 1_000_000
# What recall keeps of one message.
MAX_TEXT_BYTES = 1024 * 1024
MAX_NAME = 200
MAX_IMAGES = 10
MAX_IMAGE_BYTES = 2 * 1024 * 1024
_IMAGE = re.compile(r"https?://[^\s\0]+\Z|data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}\Z")
# What the agent is to have said already is for programs that bring a conversation with them.
_ROLES = (type_pb2.ROLE_UNSPECIFIED, type_pb2.ROLE_USER, type_pb2.ROLE_SYSTEM, type_pb2.ROLE_ASSISTANT)
MAX_STEPS = 1_000
MAX_SECONDS = 86_400
MAX_REASON = 10_000
# Of events that are sent together. One may be larger.
_ANSWER_BYTES = 1024 * 1024


class TurnServicer(TurnServiceServicer):
    def __init__(self, store: Store, engine: TurnEngine, continuer: Continuer, forwarder: Forwarder) -> None:
        self._store, self._engine, self._continuer, self._forwarder = store, engine, continuer, forwarder

    @forwarded_stream
    async def StartTurn(self, request: pb.StartTurnRequest, context: Context) -> AsyncIterator[pb.StartTurnResponse]:
        _check(request)
        tenant = principal.tenant()
        if request.approvals or request.tool_returns:
            started = self._continuer.continue_conversation(tenant, request)
        else:
            started = self._engine.start(tenant, request)
        async with aclosing(started) as events:
            if request.together:
                async for response in _together(events):
                    yield response
                return
            async for event in events:
                yield pb.StartTurnResponse(event=event)

    @forwarded_stream
    async def ResumeTurn(self, request: pb.ResumeTurnRequest, context: Context) -> AsyncIterator[pb.ResumeTurnResponse]:
        tenant = principal.tenant()
        if request.after_sequence < 0:
            raise InvalidArgument.of("after_sequence", "must not be negative")
        following = self._engine.follow(tenant, request.turn_id, request.after_sequence, deltas=request.deltas)
        async with aclosing(following) as events:
            async for event in events:
                yield pb.ResumeTurnResponse(event=event)

    async def ListTurnEvents(self, request: pb.ListTurnEventsRequest, context: Context) -> pb.ListTurnEventsResponse:
        tenant, size = principal.tenant(), request.page_size or MAX_EVENTS
        if request.after_sequence < 0 or not 0 < size <= MAX_EVENTS:
            raise InvalidArgument.of("page_size", f"must be 1 to {MAX_EVENTS:,}, and after_sequence not negative")
        _, found = await self._engine.journalled(tenant, request.turn_id, request.after_sequence, size)
        return pb.ListTurnEventsResponse(events=found)

    @forwarded_stream
    async def ContinueTurn(
        self, request: pb.ContinueTurnRequest, context: Context
    ) -> AsyncIterator[pb.ContinueTurnResponse]:
        _check_request_id(request.request_id)
        _check_answers(request.approvals, request.tool_returns)
        async with aclosing(self._continuer.continue_turn(principal.tenant(), request)) as events:
            async for event in events:
                yield pb.ContinueTurnResponse(event=event)

    async def GetTurn(self, request: pb.GetTurnRequest, context: Context) -> pb.GetTurnResponse:
        return pb.GetTurnResponse(turn=await self._engine.get(principal.tenant(), request.turn_id))

    async def ListTurns(self, request: pb.ListTurnsRequest, context: Context) -> pb.ListTurnsResponse:
        tenant = principal.tenant()
        window = window_of(request, newest_first=True)
        found, token = await self._engine.list_page(tenant, request, window)
        return pb.ListTurnsResponse(turns=found, next_page_token=token)

    @forwarded
    async def CancelTurn(self, request: pb.CancelTurnRequest, context: Context) -> pb.CancelTurnResponse:
        return pb.CancelTurnResponse(turn=await self._engine.cancel(principal.tenant(), request.turn_id))


async def _together(events: AsyncIterator[TurnEvent]) -> AsyncIterator[pb.StartTurnResponse]:
    async for accepted in events:
        yield pb.StartTurnResponse(event=accepted)
        break
    response, size = pb.StartTurnResponse(), 0
    async for event in events:
        response.events.append(event)
        size += event.ByteSize()
        if size > _ANSWER_BYTES:
            yield response
            response, size = pb.StartTurnResponse(), 0
    if response.events:
        yield response


def _check(request: pb.StartTurnRequest) -> None:
    """Raises: InvalidArgument."""
    _check_request_id(request.request_id)
    if request.together and request.deltas:
        raise InvalidArgument.of("together", "deltas are sent as they come: not together")
    definitions.client_tools(request.client_tools)
    if request.approvals or request.tool_returns:
        if request.messages or request.client_tools:
            raise InvalidArgument.of("messages", "answers to a waiting turn come without messages and client_tools")
        return _check_answers(request.approvals, request.tool_returns)
    if not 1 <= len(request.messages) <= MAX_MESSAGES:
        raise InvalidArgument.of("messages", f"must be 1 to {MAX_MESSAGES}")
    if request.conversation_id == sleeps.conversation_of(request.agent_id):
        raise FailedPrecondition("this conversation is for the agent's sleep-time turns alone")
    if not 0 <= request.max_steps <= MAX_STEPS:
        raise InvalidArgument.of("max_steps", f"must be 0 to {MAX_STEPS}")
    if not 0 <= request.max_seconds <= MAX_SECONDS:
        raise InvalidArgument.of("max_seconds", f"must be 0 to {MAX_SECONDS:,}")
    formats.check("response_format", request.response_format)
    formats.check_handle("model", request.model)
    for index, message in enumerate(request.messages):
        _check_message(f"messages[{index}]", message)
    return None


def _check_message(field: str, message: pb.InputMessage) -> None:
    """What is accepted has to be something that recall takes. Raises: InvalidArgument."""
    if not (message.text or message.image_urls) or len(message.text) > MAX_TEXT:
        raise InvalidArgument.of(f"{field}.text", f"must be 1 to {MAX_TEXT:,} characters")
    if len(message.image_urls) > MAX_IMAGES or sum(map(len, message.image_urls)) > MAX_IMAGE_BYTES:
        raise InvalidArgument.of(f"{field}.image_urls", f"must be at most {MAX_IMAGES} of {MAX_IMAGE_BYTES:,} bytes")
    for url in message.image_urls:
        if not _IMAGE.match(url):
            raise InvalidArgument.of(f"{field}.image_urls", "must be http(s) URLs, or base64 data URLs of images")
    if 4 * len(message.text) > MAX_TEXT_BYTES and len(message.text.encode()) > MAX_TEXT_BYTES:
        raise InvalidArgument.of(f"{field}.text", f"must be at most {MAX_TEXT_BYTES:,} bytes")
    for name in ("name", "otid"):
        if len(getattr(message, name)) > MAX_NAME or "\0" in getattr(message, name):
            raise InvalidArgument.of(f"{field}.{name}", f"must be at most {MAX_NAME} characters, without NUL")
    if message.role not in _ROLES:
        raise InvalidArgument.of(f"{field}.role", "must be user, system or assistant")


def _check_request_id(request_id: str) -> None:
    """Raises: InvalidArgument."""
    if not 1 <= len(request_id) <= MAX_REQUEST_ID:
        raise InvalidArgument.of("request_id", f"must be 1 to {MAX_REQUEST_ID} characters")


def _check_answers(approvals: Sequence[pb.Approval], tool_returns: Sequence[pb.ClientToolReturn]) -> None:
    """Raises: InvalidArgument."""
    for index, approval in enumerate(approvals):
        if len(approval.reason) > MAX_REASON:
            raise InvalidArgument.of(f"approvals[{index}].reason", f"must be at most {MAX_REASON:,} characters")
    for index, returned in enumerate(tool_returns):
        if len(returned.text) > MAX_TEXT:
            raise InvalidArgument.of(f"tool_returns[{index}].text", f"must be at most {MAX_TEXT:,} characters")
