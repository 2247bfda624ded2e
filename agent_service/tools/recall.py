"""Recall memory: the tool that searches what was said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Literal

from pydantic import Field

from agent_service.stores import guests
from agent_service.tools import dates
from agent_service.tools.base import Arguments, CallContext, TierTool
from triptych.recall.v1.recall_pb2 import MessageHit, SearchMessagesRequest
from triptych.type.v1 import type_pb2

# What recall gives at once; among it are what guests said.
_MOST_SEARCHED = 100
_ROLES = {
    "user": type_pb2.ROLE_USER,
    "assistant": type_pb2.ROLE_ASSISTANT,
    "tool": type_pb2.ROLE_TOOL,
}


class ConversationSearch(Arguments):
    query: str = Field(description="What to look for: key words, names, or the question itself.")
    roles: list[Literal["user", "assistant", "tool"]] | None = Field(
        default=None, description="Only messages of these roles."
    )
    limit: int = Field(default=10, ge=1, le=50, description="How many messages at the most.")
    start_date: str | None = Field(default=None, description="Only from this day on (ISO 8601), inclusive.")
    end_date: str | None = Field(default=None, description="Only until this day (ISO 8601), inclusive.")


async def conversation_search(context: CallContext, args: ConversationSearch) -> str:
    roles = [_ROLES[role] for role in args.roles or ("user", "assistant")]
    request = SearchMessagesRequest(
        query=args.query,
        agent_id=context.agent.id,
        roles=roles,
        start_time=dates.parse("start_date", args.start_date),
        end_time=dates.parse("end_date", args.end_date, end=True),
        limit=args.limit,
    )
    hits = await _found(context, request)
    if not hits:
        return "No messages found."
    return json.dumps([_shown(hit, context) for hit in hits], ensure_ascii=False)


async def _found(context: CallContext, request: SearchMessagesRequest) -> Sequence[MessageHit]:
    """A guest's turn finds what its guest said; the owner's finds what no guest said, who may have meant to mislead."""
    if context.guest:
        request.conversation_id = context.conversation_id
        return await context.tiers.search_messages(context.caller, request)
    tenant, agent_id = context.caller.tenant, context.agent.id
    of_guests = await context.store.read(lambda c: guests.conversations_of(c, tenant, agent_id))
    wanted = request.limit
    if of_guests:
        request.limit = _MOST_SEARCHED
    hits = await context.tiers.search_messages(context.caller, request)
    return [hit for hit in hits if hit.message.conversation_id not in of_guests][:wanted]


def _shown(hit: MessageHit, context: CallContext) -> dict[str, str]:
    said = hit.message.create_time.ToDatetime(UTC)
    return {
        "timestamp": said.isoformat(timespec="seconds"),
        "time_ago": dates.ago(said, context.now),
        "role": type_pb2.Role.Name(hit.message.role).removeprefix("ROLE_").lower(),
        "content": hit.message.text,
    }


TOOLS = (
    TierTool(
        "conversation_search",
        "Searches everything that was ever said with this user, by words and by meaning. Use it before you say that "
        "you don't know or remember something about earlier conversations.",
        ConversationSearch,
        conversation_search,
    ),
)
