"""What serves `/mcp` and `/mcp/{agent}`: streamable HTTP, without sessions, so that any replica serves any request.

The REST door stands before it: the key that a client sends with every request says whose memory it is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

from gateway.backends import Backends
from gateway.mcp import arguments
from gateway.mcp.memory import AgentMemory, Json
from servicekit import rpc

# The agent in the request's path; the task that serves a request has its context.
_agent: ContextVar[str] = ContextVar("mcp_agent", default="")


class _Kind(NamedTuple):
    takes: type[BaseModel]
    does: Callable[[AgentMemory, Any], Awaitable[Json]]
    reads: bool


_TOOLS = {
    "list_agents": _Kind(arguments.ListAgents, AgentMemory.list_agents, True),
    "conversation_search": _Kind(arguments.ConversationSearch, AgentMemory.conversation_search, True),
    "archival_memory_insert": _Kind(arguments.ArchivalInsert, AgentMemory.archival_memory_insert, False),
    "archival_memory_search": _Kind(arguments.ArchivalSearch, AgentMemory.archival_memory_search, True),
    "memory_read": _Kind(arguments.ReadBlocks, AgentMemory.memory_read, True),
    "memory_replace": _Kind(arguments.Replace, AgentMemory.edit, False),
    "memory_insert": _Kind(arguments.Insert, AgentMemory.edit, False),
    "memory_rethink": _Kind(arguments.Rethink, AgentMemory.edit, False),
}


class McpDoor:
    """It serves between `start` and `stop`."""

    def __init__(self, backends: Backends, version: str) -> None:
        self._back = backends
        server: Server[Any] = Server(
            "triptych", version=version, on_list_tools=self._list_tools, on_call_tool=self._call_tool
        )
        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts it in a task of its own, since it has to be left by the task that entered it."""
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(ready))
        await ready.wait()

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def serve(self, agent: str, scope: Scope, receive: Receive, send: Send) -> None:
        """`agent`: an id or a name; empty: each call names one."""
        _agent.set(agent)
        await self._manager.handle_request(scope, receive, send)

    async def _run(self, ready: asyncio.Event) -> None:
        async with self._manager.run():
            ready.set()
            await self._stopping.wait()

    async def _list_tools(
        self, _context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(name, kind, _agent.get()) for name, kind in _TOOLS.items()])

    async def _call_tool(self, _context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        """What goes wrong is the tool's answer, so that a model can read it and mend it."""
        kind = _TOOLS.get(params.name)
        if kind is None:
            return _failed(f"there is no tool {params.name[:100]}")
        try:
            given = kind.takes.model_validate(params.arguments or {})
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
            return _failed("; ".join(problems))
        try:
            answer = await kind.does(AgentMemory(self._back, _agent.get()), given)
        except Exception as error:  # the edge: `to_error` logs the unexpected, and hides it from the caller
            return _failed(rpc.to_error(error).message)
        return CallToolResult(content=[TextContent(text=json.dumps(answer, ensure_ascii=False))])


def _tool(name: str, kind: _Kind, agent: str) -> Tool:
    """An agent that the URL names is not asked for again."""
    schema = kind.takes.model_json_schema()
    if agent:
        schema.get("properties", {}).pop("agent", None)
    annotations = ToolAnnotations(read_only_hint=kind.reads)
    return Tool(name=name, description=kind.takes.__doc__, input_schema=schema, annotations=annotations)


def _failed(problem: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=problem)], is_error=True)
