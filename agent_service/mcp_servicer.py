"""Serves a user's MCP servers. What they are sent to prove who the user is goes in and never comes out again."""

from __future__ import annotations

import copy
from typing import TypeVar
from urllib.parse import urlsplit

from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import Connection

from agent_service.sealing import Sealer
from agent_service.servicing import Servicing, window_of
from agent_service.stores import mcp_servers
from agent_service.tools import definitions, owned
from agent_service.tools.base import ToolError
from agent_service.tools.outside import Outside
from servicekit import principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import FailedPrecondition, InvalidArgument, Unavailable

UPDATABLE = frozenset({"transport", "url", "headers", "command", "arguments", "environment"})
Request = TypeVar("Request", pb.CreateMcpServerRequest, pb.UpdateMcpServerRequest)
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

        return await self._once(self._without_secrets(request), pb.CreateMcpServerResponse, work)

    async def GetMcpServer(self, request: pb.GetMcpServerRequest, context: Context) -> pb.GetMcpServerResponse:
        tenant = principal.tenant()
        found = await self._store.read(lambda c: mcp_servers.get(c, tenant, request.server_id))
        return pb.GetMcpServerResponse(server=found)

    async def ListMcpServers(self, request: pb.ListMcpServersRequest, context: Context) -> pb.ListMcpServersResponse:
        tenant, window = principal.tenant(), window_of(request)
        found, token = await self._store.read(lambda c: mcp_servers.list_page(c, tenant, window))
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

    async def UpdateMcpServer(self, request: pb.UpdateMcpServerRequest, context: Context) -> pb.UpdateMcpServerResponse:
        tenant = principal.tenant()
        current = await self._store.read(
            lambda c: mcp_servers.get_with_secrets(c, self._sealer, tenant, request.server.id)
        )
        server = _check(_changed(current, request))
        offered = await self._offered(tenant, server)

        def work(connection: Connection, tenant: Tenant) -> pb.UpdateMcpServerResponse:
            changed, tools = mcp_servers.change(connection, self._sealer, tenant, server, offered)
            return pb.UpdateMcpServerResponse(server=changed, tools=map(owned.shown, tools))

        return await self._once(self._without_secrets(request), pb.UpdateMcpServerResponse, work)

    async def DeleteMcpServer(self, request: pb.DeleteMcpServerRequest, context: Context) -> pb.DeleteMcpServerResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DeleteMcpServerResponse:
            mcp_servers.remove(connection, tenant, request.server_id)
            return pb.DeleteMcpServerResponse()

        return await self._once(request, pb.DeleteMcpServerResponse, work)

    def _without_secrets(self, request: Request) -> Request:
        """What is kept of a request for its replay to be known by has no hash of a secret that could be guessed."""
        compared = copy.deepcopy(request)
        for pairs in (compared.server.headers, compared.server.environment):
            for name in pairs:
                pairs[name] = self._sealer.stand_in(pairs[name])
        return compared

    async def _offered(self, tenant: Tenant, server: pb.McpServer) -> list[pb.Tool]:
        """Raises: Unavailable with what may be told of the reason; FailedPrecondition for what is not allowed here."""
        if server.transport == pb.MCP_TRANSPORT_STDIO and not self._outside.mcp.settings.stdio:
            raise FailedPrecondition(
                "MCP servers as programs (stdio) are switched off on this server (TRIPTYCH_MCP_STDIO)"
            )
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
    definitions.check_name("server.name", server.name)
    return _check(server)


def _changed(current: pb.McpServer, request: pb.UpdateMcpServerRequest) -> pb.McpServer:
    """The server as the update makes it. An empty secret stays, unless another host would get it.

    Raises: InvalidArgument.
    """
    server = pb.McpServer()
    server.CopyFrom(current)
    for path in request.update_mask.paths:
        if path not in UPDATABLE:
            raise InvalidArgument.of("update_mask", f"{path} can't be updated; it takes {', '.join(sorted(UPDATABLE))}")
        server.ClearField(path)  # type: ignore[arg-type]
        FieldMask(paths=[path]).MergeMessage(request.server, server)
    given = request.server.headers if "headers" in request.update_mask.paths else {}
    if urlsplit(server.url)[:2] != urlsplit(current.url)[:2] and not all(given.get(name) for name in server.headers):
        raise InvalidArgument.of("server.headers", "must be given again: another host would get them")
    for kept, pairs in ((current.headers, server.headers), (current.environment, server.environment)):
        for name in [name for name, value in pairs.items() if not value and name in kept]:
            pairs[name] = kept[name]
    return server


def _check(server: pb.McpServer) -> pb.McpServer:
    """The same. Raises: InvalidArgument for what no server can be reached by."""
    if len(server.name) > MAX_NAME:
        raise InvalidArgument.of("server.name", f"must be at most {MAX_NAME} characters")
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
