"""Open connections to MCP servers: one a server and user, opened when it is needed, closed when it no longer is."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from agent_service.sealing import Sealer
from agent_service.store import Store
from agent_service.stores import mcp_servers
from agent_service.tool_settings import McpSettings
from agent_service.tools.base import ToolError
from agent_service.tools.mcp import offers
from servicekit.principal import Tenant
from triptych.agent.v1 import agent_pb2 as pb

if TYPE_CHECKING:
    from mcp import Client

_MAX_OPEN = 100
_MAX_PAGES = 20
_IDLE_SECONDS = 300.0
_log = structlog.get_logger("mcp")
_Key = tuple[Tenant, str, int]


class _Connection:
    """Held by a task of its own: what the package opens has to be closed by the task that opened it."""

    def __init__(self, server: pb.McpServer, settings: McpSettings) -> None:
        self._server, self._settings = server, settings
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Client] = loop.create_future()
        self.used_at = loop.time()
        self._calls, self._retired = 0, False
        self._closing = asyncio.Event()
        self.task = loop.create_task(self._hold())

    async def _hold(self) -> None:
        try:
            # Imported here, when somebody has an MCP server at all: it takes a second and 40 MB.
            from agent_service.tools.mcp.connecting import connect

            async with connect(self._server, self._settings) as client:
                self.ready.set_result(client)
                await self._closing.wait()
        except Exception as error:  # the package raises groups of whatever its transports do
            _log.info("an MCP connection ended", server=self._server.id, kind=type(error).__name__)
            if not self.ready.done():
                self.ready.set_exception(_refused(error))
                self.ready.exception()  # whoever waits for it gets it; if nobody does, that is no fault

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """It is not closed before this ends."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            await self._close_unused()

    async def retire(self) -> None:
        """Closes it as soon as no call needs it: those under way may have nothing to do with why."""
        self._retired = True
        await self._close_unused()

    async def _close_unused(self) -> None:
        if self._retired and not self._calls:
            await self.close()

    async def close(self) -> None:
        self._closing.set()
        try:
            async with asyncio.timeout(2):
                await asyncio.shield(self.task)
        except TimeoutError:
            self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class McpPool:
    def __init__(self, store: Store, sealer: Sealer, settings: McpSettings) -> None:
        self._store, self._sealer, self.settings = store, sealer, settings
        self._open: OrderedDict[_Key, _Connection] = OrderedDict()
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def timeout_seconds(self) -> float:
        return self.settings.timeout_seconds

    async def list_tools(self, tenant: Tenant, server: pb.McpServer) -> list[pb.Tool]:
        """The server's tools as ours. `server`: as stored, or about to be. Raises: ToolError."""
        connection = _Connection(server, self.settings)
        try:
            client = await self._ready(connection)
            async with asyncio.timeout(self.settings.timeout_seconds):
                return offers.tools(server, await self._listed(client))
        except TimeoutError:
            raise ToolError("The MCP server did not list its tools in time.") from None
        except ToolError:
            raise
        except Exception as error:  # the edge to somebody else's server, by way of somebody else's package
            raise _refused(error) from error
        finally:
            await connection.close()

    async def _listed(self, client: Client) -> list[Any]:
        found, cursor = list[Any](), None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor or len(found) >= offers.MAX_TOOLS:
                break
        return found

    async def call(self, tenant: Tenant, server_id: str, name: str, arguments: dict[str, Any]) -> str:
        """Calls a tool of the user's server, once. Raises: ToolError, NotFound (the server is gone)."""
        server = await self._store.read(lambda c: mcp_servers.get_with_secrets(c, self._sealer, tenant, server_id))
        key = (tenant, server_id, server.update_time.ToMicroseconds())
        connection = self._connection(key, server)
        async with connection.in_use():
            try:
                client = await self._ready(connection)
                result = await client.call_tool(name, arguments, read_timeout_seconds=self.settings.timeout_seconds)
            except Exception as error:  # the edge to somebody else's server, by way of somebody else's package
                await self._drop(key, connection)
                raise error if isinstance(error, ToolError) else _refused(error) from error
        if result.is_error:
            raise ToolError(offers.text(result))
        return offers.text(result)

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        connections, self._open = list(self._open.values()), OrderedDict()
        await asyncio.gather(*(connection.close() for connection in connections))

    def _connection(self, key: _Key, server: pb.McpServer) -> _Connection:
        connection = self._open.get(key)
        if connection is None or connection.task.done():
            connection = self._open[key] = _Connection(server, self.settings)
        connection.used_at = asyncio.get_running_loop().time()
        self._open.move_to_end(key)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        return connection

    async def _ready(self, connection: _Connection) -> Client:
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                return await asyncio.shield(connection.ready)
        except TimeoutError:
            raise ToolError("The MCP server did not answer in time.") from None

    async def _drop(self, key: _Key, connection: _Connection) -> None:
        if self._open.get(key) is connection:
            del self._open[key]
        await connection.retire()

    async def _sweep(self) -> None:
        """Closes what has not been used for five minutes, and the oldest of more than a hundred."""
        while self._open:
            oldest_key, oldest = next(iter(self._open.items()))
            left = oldest.used_at + _IDLE_SECONDS - asyncio.get_running_loop().time()
            if left <= 0 or len(self._open) > _MAX_OPEN:
                await self._drop(oldest_key, oldest)
            else:
                await asyncio.sleep(min(left, 5.0))


def _refused(error: Exception) -> ToolError:
    """What may be told of a failure: what the server said, or what kind it was; never an address or a header."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ToolError):
        return error
    said = f": {error}" if type(error).__name__ == "MCPError" else ""
    return ToolError(f"The MCP server could not be used ({type(error).__name__}{said}).")
