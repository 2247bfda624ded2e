"""All tools by name, and which ones an agent of each type has by default."""

from __future__ import annotations

import json
from collections.abc import Iterable

from agent_service.models.types import ToolSchema
from agent_service.tools import archival, files, memory, omni, patching, recall, speech
from agent_service.tools.base import BuiltIn, schema
from servicekit import ids
from triptych.agent.v1 import agent_pb2
from triptych.errors import InvalidArgument

_BY_TIER: dict[str, tuple[BuiltIn, ...]] = {
    "core": (*memory.TOOLS, *omni.TOOLS, *patching.TOOLS),
    "recall": recall.TOOLS,
    "archival": archival.TOOLS,
    "files": files.TOOLS,
    "speech": speech.TOOLS,
}
TOOLS: dict[str, BuiltIn] = {tool.name: tool for tools in _BY_TIER.values() for tool in tools}
SCHEMAS: dict[str, ToolSchema] = {name: schema(tool) for name, tool in TOOLS.items()}

_TIERS = {tool.name: tier for tier, tools in _BY_TIER.items() for tool in tools}

DEFAULT_TYPE = "letta_v1_agent"
_SEARCH = ("conversation_search", "archival_memory_insert", "archival_memory_search")
BASE_TOOLS: dict[str, tuple[str, ...]] = {
    DEFAULT_TYPE: ("memory_insert", "memory_replace", "memory_rethink", *_SEARCH),
    "memgpt_agent": (
        "send_message",
        "core_memory_append",
        "core_memory_replace",
        "memory",
        "memory_apply_patch",
        *_SEARCH,
    ),
    "memgpt_v2_agent": ("send_message", "memory_insert", "memory_replace", *_SEARCH),
    "sleeptime_agent": ("memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"),
    "react_agent": (),
    "workflow_agent": (),
}
# What a guest of the agent may have called for it: what reads, and what speaks.
FOR_GUESTS = frozenset({"conversation_search", "archival_memory_search", speech.SEND_MESSAGE})
# Calling one of these ends the turn.
ENDING = frozenset({"memory_finish_edits", "finish_rethinking_memory"})


def base_tools(agent_type: str) -> tuple[str, ...]:
    """Raises: InvalidArgument for an unknown type."""
    if agent_type not in BASE_TOOLS:
        raise InvalidArgument.of("agent_type", f"must be one of {', '.join(BASE_TOOLS)}")
    return BASE_TOOLS[agent_type]


def others(names: Iterable[str]) -> list[str]:
    """Those names that are not of built-in tools."""
    return [name for name in names if name not in TOOLS]


def described(name: str) -> agent_pb2.Tool:
    """The tool as clients see it. Its id derives from its name."""
    shown = SCHEMAS[name]
    function = {"name": shown.name, "description": shown.description, "parameters": shown.parameters}
    return agent_pb2.Tool(
        id=ids.derived("tool", name),
        name=name,
        description=shown.description,
        json_schema=json.dumps(function),
        tags=[_TIERS[name]],
        tool_type=agent_pb2.TOOL_TYPE_BUILTIN,
    )


NAMES_BY_ID = {ids.derived("tool", name): name for name in TOOLS}
