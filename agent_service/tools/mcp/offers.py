"""What an MCP server offers, as tools of ours; and what its tools return, as text."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

import structlog

from agent_service.tools import definitions
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import InvalidArgument

MAX_TOOLS = 500
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST = 64
_log = structlog.get_logger("mcp")


def tool_name(server: str, name: str) -> str:
    """`server__tool`, in the letters and the length that models' APIs take; where that loses something, with a hash."""
    plain = f"{server}__{name}"
    valid = _NOT_IN_NAMES.sub("_", plain)
    if valid == plain and len(valid) <= _LONGEST:
        return valid
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{valid[: _LONGEST - 9]}_{digest}"


def tools(server: pb.McpServer, offered: Iterable[Any]) -> list[pb.Tool]:
    """At most 500 tools of a server's listing. One whose schema no model could be shown is left out."""
    made: dict[str, pb.Tool] = {}
    for each in offered:
        tool = pb.Tool(
            name=tool_name(server.name, each.name),
            description=(each.description or each.title or "")[: definitions.MAX_DESCRIPTION].replace("\0", ""),
            json_schema=json.dumps({"parameters": each.input_schema}),
            tags=["mcp", f"mcp:{server.name}"],
            tool_type=pb.TOOL_TYPE_MCP,
            mcp_server_id=server.id,
            mcp_tool_name=each.name,
        )
        try:
            definitions.check(tool)
        except InvalidArgument as error:
            _log.warning("a tool of an MCP server is left out", reason=error.reason_name, server=server.id)
            continue
        made[tool.name] = tool
        if len(made) == MAX_TOOLS:
            break
    return list(made.values())


def text(result: Any) -> str:
    """A tool's result as a model can read it: its texts; of what is no text, that it was there."""
    parts = [_part(content) for content in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)


def _part(content: Any) -> str:
    if content.type == "text":
        return str(content.text)
    if content.type == "resource" and getattr(content.resource, "text", None) is not None:
        return str(content.resource.text)
    return f"[{content.type}, not shown]"
