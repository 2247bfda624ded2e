"""Makes tools that can be called out of stored ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from agent_service.tools import definitions
from agent_service.tools.base import CallContext, ClientTool, OutsideTool, Tool
from agent_service.tools.mcp.pool import McpPool
from agent_service.tools.python.runner import PythonRunner
from agent_service.tools.toolbox import Given
from triptych.agent.v1 import agent_pb2 as pb

# A call's own time-out, which says more, comes before the one that breaks it off: connecting takes time too.
_MARGIN = 2.5


@dataclass(frozen=True)
class Outside:
    """What there is to run tools of others with."""

    mcp: McpPool
    python: PythonRunner

    def give(self, stored: Iterable[pb.Tool]) -> dict[str, Given]:
        """By name, those tools that this server can have called; the others are left out."""
        given: dict[str, Given] = {}
        for tool in stored:
            made = self._make(tool)
            if made is not None:
                given[tool.name] = Given(made, tool.return_char_limit, tool.requires_approval)
        return given

    def _make(self, tool: pb.Tool) -> Tool | None:
        function = definitions.function(tool)
        name, description, parameters = function["name"], function["description"], function["parameters"]
        if tool.tool_type == pb.TOOL_TYPE_CLIENT:
            return ClientTool(name, description, parameters)
        if tool.tool_type == pb.TOOL_TYPE_MCP:
            return OutsideTool(name, description, parameters, self._mcp_call(tool), _MARGIN * self.mcp.timeout_seconds)
        if tool.tool_type == pb.TOOL_TYPE_PYTHON and self.python.settings.enabled:
            seconds = _MARGIN * self.python.settings.seconds
            return OutsideTool(name, description, parameters, self._python_call(tool), seconds)
        return None

    def _mcp_call(self, tool: pb.Tool) -> Callable[[CallContext, dict[str, Any]], Awaitable[str]]:
        async def call(context: CallContext, arguments: dict[str, Any]) -> str:
            return await self.mcp.call(context.caller.tenant, tool.mcp_server_id, tool.mcp_tool_name, arguments)

        return call

    def _python_call(self, tool: pb.Tool) -> Callable[[CallContext, dict[str, Any]], Awaitable[str]]:
        async def call(_context: CallContext, arguments: dict[str, Any]) -> str:
            return await self.python.run(tool.source_code, tool.name, arguments)

        return call
