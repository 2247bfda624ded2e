"""`/mcp`, of which only the address is there until somebody comes.

What serves MCP clients takes 15 MB and more than half a second to import, and most servers are never asked for it.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.backends import Backends

if TYPE_CHECKING:
    from gateway.mcp.door import McpDoor


class McpEntrance:
    """`routes` go into the REST app."""

    def __init__(self, backends: Backends, version: str) -> None:
        self._back, self._version = backends, version
        self._opening = asyncio.Lock()
        self._door: McpDoor | None = None
        self.routes = [Route(path, _Served(self), include_in_schema=False) for path in ("/mcp", "/mcp/{agent:path}")]

    async def door(self) -> McpDoor:
        async with self._opening:
            if self._door is None:
                # In a thread: who calls something else need not wait for it.
                module = await asyncio.to_thread(importlib.import_module, "gateway.mcp.door")
                door: McpDoor = module.McpDoor(self._back, self._version)
                await door.start()
                self._door = door
        return self._door

    async def stop(self) -> None:
        async with self._opening:
            if self._door is not None:
                await self._door.stop()


class _Served:
    def __init__(self, entrance: McpEntrance) -> None:
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = await self._entrance.door()
        await door.serve(scope["path_params"].get("agent", ""), scope, receive, send)
