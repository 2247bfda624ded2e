"""What every agent's JSON needs beside the agent: the tools, and the defaults of the model. Kept for a minute."""

from __future__ import annotations

import asyncio
import time

from gateway.backends import Backends
from gateway.rest import shapes
from gateway.rest.shapes import Json
from triptych.agent.v1 import agent_pb2
from triptych.errors import InvalidArgument

_FRESH_SECONDS = 60.0


class Catalogue:
    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._fetched = float("-inf")
        self._lock = asyncio.Lock()
        self.tools: dict[str, Json] = {}
        self.models = agent_pb2.ListModelsResponse()

    async def load(self) -> Catalogue:
        """Itself, at most a minute old. Raises: Unavailable if agent_service is away."""
        async with self._lock:
            if time.monotonic() - self._fetched > _FRESH_SECONDS:
                peer, agents = self._backends.agent_peer, self._backends.agents
                # What is kept here is shown to every user: none of it may be one user's own.
                built_in = agent_pb2.ListToolsRequest(tool_type=agent_pb2.TOOL_TYPE_BUILTIN)
                tools, self.models = await asyncio.gather(
                    peer.unary(agents.ListTools, built_in),
                    peer.unary(agents.ListModels, agent_pb2.ListModelsRequest()),
                )
                self.tools = {tool.name: shapes.tool(tool) for tool in tools.tools}
                self._fetched = time.monotonic()
        return self

    def agent(self, agent: agent_pb2.Agent) -> Json:
        default = self.models.default_handle
        window = next((model.context_window for model in self.models.models), 32_768)
        return shapes.agent(agent, self.tools, window, default)

    def tool_names(self, tool_ids: list[str]) -> list[str]:
        """Raises: InvalidArgument for an id that there is none of."""
        by_id = {tool["id"]: name for name, tool in self.tools.items()}
        for tool_id in tool_ids:
            if tool_id not in by_id:
                raise InvalidArgument.of("tool_ids", f"there is no tool {tool_id[:100]}")
        return [by_id[tool_id] for tool_id in tool_ids]
