"""Archival memory: the tools that keep facts for good and find them again."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Literal

from pydantic import Field

from agent_service.tools import dates
from agent_service.tools.base import Arguments, CallContext, TierTool
from triptych import archives
from triptych.archival.v1.archival_pb2 import (
    InsertPassagesRequest,
    Passage,
    PassageHit,
    SearchPassagesRequest,
    Source,
)
from triptych.type.v1 import type_pb2

# In a passage's metadata: ids of those that it makes untrue (see the contract's Passage).
REPLACES = "replaces"


class ArchivalInsert(Arguments):
    content: str = Field(description="The fact, as sentences that make sense on their own: name who and what and when.")
    tags: list[str] | None = Field(default=None, description="A few words to filter by later.")


class ArchivalSearch(Arguments):
    query: str = Field(description="What to look for: key words, names, or the question itself.")
    tags: list[str] | None = Field(default=None, description="Only facts with these tags.")
    tag_match_mode: Literal["any", "all"] = Field(default="any", description="Whether one of the tags is enough.")
    top_k: int = Field(default=10, ge=1, le=50, description="How many facts at the most.")
    start_datetime: str | None = Field(default=None, description="Only recorded from then on (ISO 8601), inclusive.")
    end_datetime: str | None = Field(default=None, description="Only recorded until then (ISO 8601), inclusive.")


async def archival_memory_insert(context: CallContext, args: ArchivalInsert) -> str:
    request = InsertPassagesRequest(
        archive_id=archives.saved_to(context.agent),
        request_id=context.key,
        fence=context.fence,
        passages=[Passage(text=args.content, tags=args.tags or [])],
        create_archive_name=f"{context.agent.name}'s archive",
    )
    await context.tiers.insert_passages(context.caller, request)
    return "Saved to archival memory."


def search_request(context: CallContext, args: ArchivalSearch) -> SearchPassagesRequest:
    """Raises: ToolError for dates that are none."""
    return SearchPassagesRequest(
        archive_ids=archives.searched(context.agent),
        query=args.query,
        tags=args.tags or [],
        tag_match=type_pb2.TAG_MATCH_ALL if args.tag_match_mode == "all" else type_pb2.TAG_MATCH_ANY,
        start_time=dates.parse("start_datetime", args.start_datetime),
        end_time=dates.parse("end_datetime", args.end_datetime, end=True),
        limit=args.top_k,
    )


async def archival_memory_search(context: CallContext, args: ArchivalSearch) -> str:
    hits = await context.tiers.search_passages(context.caller, search_request(context, args))
    if not hits:
        return "Nothing found in archival memory."
    return json.dumps([_shown(hit, context) for hit in hits], ensure_ascii=False)


def _shown(hit: PassageHit, context: CallContext) -> dict[str, object]:
    recorded = hit.passage.create_time.ToDatetime(UTC)
    fields: dict[str, object] = {
        "timestamp": recorded.isoformat(timespec="seconds"),
        "time_ago": dates.ago(recorded, context.now),
        "content": hit.passage.text,
        "tags": list(hit.passage.tags),
    }
    if hit.passage.superseded_by:
        fields["no_longer_true_since"] = hit.passage.superseded_time.ToDatetime(UTC).isoformat(timespec="seconds")
    if hit.passage.HasField("source"):
        fields["source"] = place(hit.passage.source)
    return fields


def place(source: Source) -> str:
    """Where it stands, so that the agent can say where it has it from."""
    page = f", page {source.page}" if source.page else ""
    headings = f", under {' > '.join(source.headings)}" if source.headings else ""
    return f"{source.file_name}{page}{headings}"


TOOLS = (
    TierTool(
        "archival_memory_insert",
        "Saves a fact to archival memory, which is kept for good and has no limit. Use it for details, events and "
        "knowledge that need not stand in a memory block all the time.",
        ArchivalInsert,
        archival_memory_insert,
        writes=True,
    ),
    TierTool(
        "archival_memory_search",
        "Searches archival memory, by words and by meaning. Use it before you say that you don't know a fact.",
        ArchivalSearch,
        archival_memory_search,
    ),
)
