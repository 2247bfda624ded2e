"""Makes tools that can be called out of stored ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent_service.tools import definitions
from agent_service.tools.base import ClientTool, Tool
from agent_service.tools.toolbox import Given
from triptych.agent.v1 import agent_pb2 as pb


@dataclass(frozen=True)
class Outside:
    """What there is to run tools of others with."""

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
        return None
