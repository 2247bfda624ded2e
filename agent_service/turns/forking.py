"""Forking: a new conversation that begins with what is in view of another."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from agent_service.stores import conversations, guests
from agent_service.stores.requests import answered, digest, once
from agent_service.turns import journal
from agent_service.turns.engine import TurnEngine
from agent_service.turns.parts import Parts
from servicekit import ids
from servicekit.principal import Principal
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1.agent_pb2 import Conversation
from triptych.errors import FailedPrecondition
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, Message

_PAGE = 500
_SECONDS = 20.0


class Forker:
    def __init__(self, parts: Parts, engine: TurnEngine) -> None:
        self._parts, self._engine = parts, engine

    async def fork(self, caller: Principal, request: pb.ForkConversationRequest) -> pb.ForkConversationResponse:
        """Copies the window's messages to a new conversation in recall, then makes that known.

        Each step derives from the `request_id`, so that a call that broke off goes on when it is sent again.
        Raises: NotFound; FailedPrecondition for a guest's; Aborted CONVERSATION_BUSY; Unavailable if recall is away.
        """
        tenant, response_type = caller.tenant, pb.ForkConversationResponse
        known = await self._parts.store.read(lambda c: answered(c, tenant, request.request_id, request, response_type))
        if known is not None:
            return known
        source = await self._parts.store.read(lambda c: conversations.get(c, tenant, request.conversation_id))
        if source.id in await self._parts.store.read(lambda c: guests.conversations_of(c, tenant, source.agent_id)):
            # A fork is the owner's, with all of the owner's tools: what a guest has said must not come near them.
            raise FailedPrecondition("a guest's conversation can't be forked")
        forked_id = _forked_id(caller, request)
        async with self._engine.between_turns(tenant, source.id):
            source = await self._parts.store.read(lambda c: conversations.get(c, tenant, source.id))
            await self._append(caller, source, forked_id, await self._in_view(caller, source))

        def work(connection: Connection) -> pb.ForkConversationResponse:
            wanted = Conversation(
                agent_id=source.agent_id,
                summary=source.summary,
                title=request.title or source.title,
                metadata=source.metadata,
                forked_from_id=source.id,
            )
            # Its first message is number 1: with a summary, that stands for what came before all of them.
            made = conversations.create(connection, tenant, wanted, conversation_id=forked_id, start=1)
            return response_type(conversation=made)

        return await self._parts.store.write(
            lambda c: once(c, tenant, request.request_id, request, response_type, lambda: work(c))
        )

    async def _in_view(self, caller: Principal, source: Conversation) -> list[Message]:
        """All messages that the summary does not stand for, oldest first."""
        newest_first: list[Message] = []
        token = ""
        while True:
            page, token = await self._parts.tiers.latest_messages(
                caller, source.agent_id, source.id, page_token=token, size=_PAGE
            )
            inside = [message for message in page if message.sequence > source.summary_through]
            newest_first.extend(inside)
            if not token or len(inside) < len(page):
                return newest_first[::-1]

    async def _append(
        self, caller: Principal, source: Conversation, forked_id: str, messages: Sequence[Message]
    ) -> None:
        for begin in range(0, len(messages), _PAGE):
            copies = [_copy(message, forked_id) for message in messages[begin : begin + _PAGE]]
            for batch in journal.parts(f"{forked_id}/{begin}", copies):
                request = AppendMessagesRequest(
                    agent_id=source.agent_id,
                    conversation_id=forked_id,
                    request_id=batch.request_id,
                    messages=batch.messages,
                )
                await self._parts.tiers.append_messages(caller, request, seconds=_SECONDS)


def _forked_id(caller: Principal, request: pb.ForkConversationRequest) -> str:
    if not request.request_id:
        return ids.new("conv")
    return ids.derived("conv", *caller.tenant, request.request_id, digest(request))


def _copy(message: Message, conversation_id: str) -> Message:
    copied = Message()
    copied.CopyFrom(message)
    copied.id = ids.derived("message", conversation_id, message.id)
    copied.conversation_id = conversation_id
    copied.ClearField("sequence")
    copied.ClearField("revision")
    return copied
