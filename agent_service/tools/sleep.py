"""The tools of a sleep-time turn: those of memory, each with the messages that a fact was taken from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC

from google.protobuf.struct_pb2 import Struct
from pydantic import Field

from agent_service.tools import archival, dates, memory
from agent_service.tools.base import BlockTool, CallContext, Edit, TierTool, Tool, ToolError
from agent_service.tools.toolbox import Given, Toolbox
from servicekit import ids
from triptych import archives
from triptych.agent.v1.agent_pb2 import Block
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.archival.v1.archival_pb2 import InsertPassagesRequest, Passage, SearchPassagesRequest
from triptych.type.v1 import type_pb2

_SOURCES = "The numbers in brackets of the messages that say so."
# In a passage's metadata.
SOURCE_IDS, WRITTEN_BY = "source_message_ids", "written_by"


class Insert(memory.Insert):
    sources: list[int] = Field(description=_SOURCES)


class Replace(memory.Replace):
    sources: list[int] = Field(description=_SOURCES)


class ArchivalInsert(archival.ArchivalInsert):
    sources: list[int] = Field(description=_SOURCES)
    replaces: list[str] = Field(
        default_factory=list,
        description="Ids of older facts, from archival_memory_search, that this one makes untrue. They are kept.",
    )


class Search(archival.ArchivalSearch):
    pass


@dataclass(frozen=True)
class Sources:
    """Ids of the messages that the turn reads, by their numbers in its transcript."""

    by_number: Mapping[str, str]

    def ids(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Raises: ToolError for a number that is not in the transcript, or for none."""
        unknown = [number for number in numbers if str(number) not in self.by_number]
        if unknown or not numbers:
            raise ToolError("sources must be numbers of messages in the transcript, such as [12].")
        return tuple(dict.fromkeys(self.by_number[str(number)] for number in numbers))

    def insert(self, blocks: Sequence[Block], args: Insert) -> Edit:
        return replace(memory.insert(blocks, args), sources=self.ids(args.sources))

    def replace(self, blocks: Sequence[Block], args: Replace) -> Edit:
        return replace(memory.replace(blocks, args), sources=self.ids(args.sources))

    async def archival_insert(self, context: CallContext, args: ArchivalInsert) -> str:
        source_ids = list(self.ids(args.sources))
        if known := await _same(context, args.content):
            return f"This is in archival memory already, as {known}."
        metadata = Struct()
        metadata.update({SOURCE_IDS: source_ids, WRITTEN_BY: context.turn_id})
        if args.replaces:
            metadata.update({archival.REPLACES: args.replaces[:50]})
        newest = await context.tiers.get_messages(context.caller, self.ids([max(args.sources)]))
        request = InsertPassagesRequest(
            archive_id=archives.saved_to(context.agent),
            request_id=context.key,
            fence=context.fence,
            passages=[
                Passage(
                    id=passage_id(context.key),
                    text=args.content,
                    tags=args.tags or [],
                    metadata=metadata,
                    # It was so when it was said, not when it was read.
                    create_time=newest[0].create_time if newest else None,
                )
            ],
            create_archive_name=f"{context.agent.name}'s archive",
        )
        await context.tiers.insert_passages(context.caller, request)
        return "Saved to archival memory."


async def _same(context: CallContext, content: str) -> str:
    """The id of another passage that says the same in the same words; '' if there is none."""
    request = SearchPassagesRequest(archive_ids=archives.searched(context.agent), query=content[:1_000], limit=5)
    own = passage_id(context.key)
    for hit in await context.tiers.search_passages(context.caller, request):
        if hit.passage.id != own and _words(hit.passage.text) == _words(content):
            return hit.passage.id
    return ""


def _words(text: str) -> list[str]:
    return text.casefold().strip(" .").split()


async def archival_search(context: CallContext, args: Search) -> str:
    """As the agent's own, with ids."""
    hits = await context.tiers.search_passages(context.caller, archival.search_request(context, args))
    if not hits:
        return "Nothing found in archival memory."
    found = [
        {
            "id": hit.passage.id,
            "recorded": hit.passage.create_time.ToDatetime(UTC).isoformat(timespec="seconds"),
            "time_ago": dates.ago(hit.passage.create_time.ToDatetime(UTC), context.now),
            "content": hit.passage.text,
            **({"replaced_by": hit.passage.superseded_by} if hit.passage.superseded_by else {}),
        }
        for hit in hits
    ]
    return json.dumps(found, ensure_ascii=False)


def passage_id(key: str) -> str:
    """The id of the passage that a call saves. `key`: `turn/step/call`."""
    return ids.derived("passage", key)


def saved(turn_id: str, events: Sequence[TurnEvent]) -> list[str]:
    """Ids of the passages that a turn has saved, by its journal."""
    found: list[str] = []
    step, calls = 0, list[str]()
    for event in events:
        if event.HasField("message"):
            step, calls = step + 1, [call.id for call in event.message.tool_calls]
        elif event.HasField("tool_result"):
            returned = event.tool_result.tool_return
            succeeded = returned.status == type_pb2.TOOL_STATUS_SUCCESS
            if returned.name == "archival_memory_insert" and succeeded:
                found.append(passage_id(f"{turn_id}/{step}/{calls.index(returned.tool_call_id)}"))
    return found


def toolbox(by_number: Mapping[str, str]) -> Toolbox:
    """The tools of one sleep-time turn."""
    sources = Sources(by_number)
    tools: list[Tool] = [
        BlockTool(
            "memory_insert",
            "Adds lines to a memory block: what has to be in view in every conversation.",
            Insert,
            sources.insert,
        ),
        BlockTool(
            "memory_replace",
            "Replaces a text in a memory block: a fact that has changed or was wrong, or two that say the same.",
            Replace,
            sources.replace,
        ),
        TierTool(
            "archival_memory_search",
            "Searches what is in archival memory already. Use it before each archival_memory_insert.",
            Search,
            archival_search,
        ),
        TierTool(
            "archival_memory_insert",
            "Saves a fact to archival memory: what is worth keeping and need not always be in view.",
            ArchivalInsert,
            sources.archival_insert,
            writes=True,
        ),
        BlockTool(
            "memory_finish_edits",
            "Ends your work. Call it when nothing is left to keep.",
            memory.Finish,
            memory.finish,
        ),
    ]
    return Toolbox({tool.name: Given(tool) for tool in tools})


NAMES = tuple(toolbox({}).names)
