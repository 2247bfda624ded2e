"""What every agent's JSON needs beside the agent: its tools, and the defaults of the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from cachetools import LRUCache, cached

from gateway.backends import Backends
from gateway.rest import shapes
from gateway.rest.forms import Json
from triptych.agent.v1 import agent_pb2, identity_pb2
from triptych.errors import InvalidArgument

_FRESH_SECONDS = 60.0
# So much of what was made of agents for lists is kept, by its size: one agent may have a megabyte of blocks.
_KEPT_BYTES = 8 * 1024 * 1024


class Catalogue:
    """The server's own tools and models are kept for a minute; a user's own tools are asked for each time."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._fetched = float("-inf")
        self._lock = asyncio.Lock()
        self._built_in: dict[str, Json] = {}
        self._encoded: dict[str, orjson.Fragment] = {}
        self.models = agent_pb2.ListModelsResponse()

    async def load(self) -> Catalogue:
        """Itself, at most a minute old. Raises: Unavailable if agent_service is away."""
        if time.monotonic() - self._fetched <= _FRESH_SECONDS:
            return self
        async with self._lock:
            if time.monotonic() - self._fetched > _FRESH_SECONDS:
                # What is kept here is shown to every user: none of it may be one user's own.
                built_in = agent_pb2.ListToolsRequest(tool_type=agent_pb2.TOOL_TYPE_BUILTIN)
                models = agent_pb2.ListModelsRequest(without_providers=True)
                self._built_in, self.models = await asyncio.gather(
                    self._listed(built_in),
                    self._backends.agent_peer.unary(self._backends.agents.ListModels, models),
                )
                self._encoded = _encoded(self._built_in)
                self._fetched = time.monotonic()
        return self

    async def tools(self) -> dict[str, Json]:
        """All that the caller's agents can be given, by name."""
        return await self._listed(agent_pb2.ListToolsRequest())

    async def agents(self, agents: Sequence[agent_pb2.Agent]) -> list[Json]:
        """As they are shown. Their tools are encoded already: they are most of it, and mostly the same."""
        window, default = self._defaults()
        tools = await self._shown_tools(name for agent in agents for name in agent.tools)
        identities = await self._identities({each for agent in agents for each in agent.identity_ids})
        return [shapes.agent(agent, tools, identities, window, default) for agent in agents]

    async def listed_agents(self, agents: Sequence[agent_pb2.Agent]) -> list[Json | orjson.Fragment]:
        """As they are shown, without their tools. Who lists agents lists them again, and most are as they were."""
        window, default = self._defaults()
        identities = await self._identities({each for agent in agents for each in agent.identity_ids})
        return [
            shapes.agent(agent, {}, identities, window, default)
            if agent.identity_ids
            else orjson.Fragment(_encoded_agent(agent.SerializeToString(), window, default))
            for agent in agents
        ]

    async def agent(self, agent: agent_pb2.Agent) -> Json:
        (shown,) = await self.agents([agent])
        return shown

    async def tools_of(self, agent: agent_pb2.Agent) -> list[Json]:
        """Those that there are, in the agent's order."""
        tools = await self._named(agent.tools)
        return [tools[name] for name in agent.tools if name in tools]

    async def tool_names(self, tool_ids: Sequence[str]) -> list[str]:
        """Raises: InvalidArgument for an id that there is none of."""
        by_id = {tool["id"]: name for name, tool in self._built_in.items()}
        if any(tool_id not in by_id for tool_id in tool_ids):
            by_id = {tool["id"]: name for name, tool in (await self.tools()).items()}
        for tool_id in tool_ids:
            if tool_id not in by_id:
                raise InvalidArgument.of("tool_ids", f"there is no tool {tool_id[:100]}")
        return [by_id[tool_id] for tool_id in tool_ids]

    def _defaults(self) -> tuple[int, str]:
        """The window and the model of an agent that has none of its own."""
        window = next((model.context_window for model in self.models.models), 32_768)
        return window, self.models.default_handle

    async def _identities(self, wanted: Iterable[str]) -> dict[str, Json]:
        """By id. Most agents have none, and nothing is asked for."""
        request = identity_pb2.ListIdentitiesRequest(identity_ids=sorted(wanted), page_size=1_000)
        if not request.identity_ids:
            return {}
        response = await self._backends.agent_peer.unary(self._backends.identities.ListIdentities, request)
        return {identity.id: shapes.identity(identity) for identity in response.identities}

    async def _shown_tools(self, names: Iterable[str]) -> dict[str, orjson.Fragment]:
        named = await self._named(names)
        return self._encoded if named is self._built_in else _encoded(named)

    async def _named(self, names: Iterable[str]) -> dict[str, Json]:
        """At least those of the names that there are. Most agents have none but the server's own tools."""
        return self._built_in if all(name in self._built_in for name in names) else await self.tools()

    async def _listed(self, request: agent_pb2.ListToolsRequest) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while True:
            response = await self._backends.agent_peer.unary(self._backends.agents.ListTools, request)
            found.update((tool.name, shapes.tool(tool)) for tool in response.tools)
            request.page_token = response.next_page_token
            if not request.page_token:
                return found


_kept: LRUCache[Any, bytes] = LRUCache(_KEPT_BYTES, getsizeof=len)


@cached(_kept)
def _encoded_agent(serialized: bytes, window: int, default: str) -> bytes:
    """One without identities, shown without its tools."""
    agent = agent_pb2.Agent.FromString(serialized)
    return orjson.dumps(shapes.agent(agent, {}, {}, window, default))


def _encoded(tools: Mapping[str, Json]) -> dict[str, orjson.Fragment]:
    return {name: orjson.Fragment(orjson.dumps(tool)) for name, tool in tools.items()}
