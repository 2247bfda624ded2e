"""Serves a user's MCP servers. What they are sent to prove who the user is goes in and never comes out again."""

from __future__ import annotations

from sqlalchemy import Connection

from agent_service.sealing import Sealer
from agent_service.servicing import Servicing
from agent_service.stores import mcp_servers
from agent_service.stores.rows import Window
from agent_service.tools import definitions, owned
from agent_service.tools.base import ToolError
from agent_service.tools.outside import Outside
from servicekit import paging, principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import InvalidArgument, Unavailable

MAX_NAME = 40
MAX_URL = 2_000
MAX_PAIRS = 50
MAX_VALUE = 10_000


class McpServicer(Servicing):
    _outside: Outside
    _sealer: Sealer

    async def CreateMcpServer(self, request: pb.CreateMcpServerRequest, context: Context) -> pb.CreateMcpServerResponse:
        server = _checked(request.server)
        offered = await self._offered(principal.tenant(), server)

        def work(connection: Connection, tenant: Tenant) -> pb.CreateMcpServerResponse:
            made, tools = mcp_servers.create(connection, self._sealer, tenant, server, offered)
            return pb.CreateMcpServerResponse(server=made, tools=map(owned.shown, tools))

        return await self._once(request, pb.CreateMcpServerResponse, work)

    async def GetMcpServer(self, request: pb.GetMcpServerRequest, context: Context) -> pb.GetMcpServerResponse:
        tenant = principal.tenant()
        found = await self._store.read(lambda c: mcp_servers.get(c, tenant, request.server_id))
        return pb.GetMcpServerResponse(server=found)

    async def ListMcpServers(self, request: pb.ListMcpServersRequest, context: Context) -> pb.ListMcpServersResponse:
        tenant = principal.tenant()
        query = ("ListMcpServers", *tenant)
        page = paging.read(size=request.page_size, token=request.page_token, query=query, order=request.order)
        found, token = await self._store.read(lambda c: mcp_servers.list_page(c, tenant, Window(page)))
        return pb.ListMcpServersResponse(servers=found, next_page_token=token)

    async def RefreshMcpServer(
        self, request: pb.RefreshMcpServerRequest, context: Context
    ) -> pb.RefreshMcpServerResponse:
        tenant = principal.tenant()
        server = await self._store.read(
            lambda c: mcp_servers.get_with_secrets(c, self._sealer, tenant, request.server_id)
        )
        offered = await self._offered(tenant, server)

        def work(connection: Connection, tenant: Tenant) -> pb.RefreshMcpServerResponse:
            tools = mcp_servers.refresh(connection, tenant, server.id, offered)
            current = mcp_servers.get(connection, tenant, server.id)
            return pb.RefreshMcpServerResponse(server=current, tools=map(owned.shown, tools))

        return await self._once(request, pb.RefreshMcpServerResponse, work)

    async def DeleteMcpServer(self, request: pb.DeleteMcpServerRequest, context: Context) -> pb.DeleteMcpServerResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DeleteMcpServerResponse:
            mcp_servers.remove(connection, tenant, request.server_id)
            return pb.DeleteMcpServerResponse()

        return await self._once(request, pb.DeleteMcpServerResponse, work)

    async def _offered(self, tenant: Tenant, server: pb.McpServer) -> list[pb.Tool]:
        """Raises: Unavailable with what may be told of the reason."""
        try:
            return await self._outside.mcp.list_tools(tenant, server)
        except ToolError as error:
            raise Unavailable(str(error)) from error


def _checked(wanted: pb.McpServer) -> pb.McpServer:
    """A server to be made, with its id. Raises: InvalidArgument."""
    server = pb.McpServer()
    server.CopyFrom(wanted)
    server.ClearField("create_time")
    server.ClearField("update_time")
    server.id = mcp_servers.new_id()
    server.transport = server.transport or pb.MCP_TRANSPORT_STREAMABLE_HTTP
    if len(server.name) > MAX_NAME:
        raise InvalidArgument.of("server.name", f"must be at most {MAX_NAME} characters")
    definitions.check_name("server.name", server.name)
    if len(server.url) > MAX_URL or len(server.command) > MAX_URL:
        raise InvalidArgument.of("server.url", f"must be at most {MAX_URL} characters")
    if bool(server.command) is not (server.transport == pb.MCP_TRANSPORT_STDIO):
        raise InvalidArgument.of("server.command", "is for the transport stdio, and for no other")
    for field, pairs in (("server.headers", server.headers), ("server.environment", server.environment)):
        if len(pairs) > MAX_PAIRS or any(len(k) + len(v) > MAX_VALUE or "\n" in k + v for k, v in pairs.items()):
            raise InvalidArgument.of(
                field, f"must be at most {MAX_PAIRS}, each of {MAX_VALUE:,} characters in one line"
            )
    return server
