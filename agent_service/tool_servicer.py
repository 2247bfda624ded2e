"""Serves tools: what agents can be given, and which agent has which."""

from __future__ import annotations

from sqlalchemy import Connection

from agent_service.servicing import Servicing
from agent_service.stores import agents, tools
from agent_service.tools import definitions, owned, registry
from agent_service.tools.outside import Outside
from agent_service.turns.single import SingleCalls
from servicekit import paging, principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument

_MAX_PAGE = 1_000


class ToolServicer(Servicing):
    _outside: Outside
    _single: SingleCalls

    async def ListTools(self, request: pb.ListToolsRequest, context: Context) -> pb.ListToolsResponse:
        tenant = principal.tenant()
        query = ("ListTools", *tenant, request.name, request.tool_type, request.mcp_server_id)
        page = paging.read(
            size=request.page_size, token=request.page_token, query=query, default=_MAX_PAGE, maximum=_MAX_PAGE
        )
        found, token = await self._store.read(lambda c: owned.list_page(c, tenant, request, page))
        return pb.ListToolsResponse(tools=found, next_page_token=token)

    async def CountTools(self, request: pb.CountToolsRequest, context: Context) -> pb.CountToolsResponse:
        tenant = principal.tenant()
        own = await self._store.read(lambda c: tools.count(c, tenant))
        return pb.CountToolsResponse(count=len(registry.TOOLS) + own)

    async def GetTool(self, request: pb.GetToolRequest, context: Context) -> pb.GetToolResponse:
        tenant = principal.tenant()
        return pb.GetToolResponse(tool=await self._store.read(lambda c: owned.get(c, tenant, request.tool_id)))

    async def CreateTool(self, request: pb.CreateToolRequest, context: Context) -> pb.CreateToolResponse:
        wanted = self._completed(request.tool)

        def work(connection: Connection, tenant: Tenant) -> pb.CreateToolResponse:
            return pb.CreateToolResponse(tool=owned.shown(tools.create(connection, tenant, wanted)))

        return await self._once(request, pb.CreateToolResponse, work)

    async def UpsertTool(self, request: pb.UpsertToolRequest, context: Context) -> pb.UpsertToolResponse:
        wanted = self._completed(request.tool)

        def work(connection: Connection, tenant: Tenant) -> pb.UpsertToolResponse:
            known = tools.named(connection, tenant, [wanted.name])
            if not known:
                return pb.UpsertToolResponse(tool=owned.shown(tools.create(connection, tenant, wanted)))
            if known[0].tool_type != wanted.tool_type:
                raise AlreadyExists(f"there is a tool {wanted.name} of another type")
            wanted.id = known[0].id
            return pb.UpsertToolResponse(tool=owned.shown(tools.store(connection, tenant, wanted)))

        return await self._once(request, pb.UpsertToolResponse, work)

    async def UpdateTool(self, request: pb.UpdateToolRequest, context: Context) -> pb.UpdateToolResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.UpdateToolResponse:
            changed = owned.change(connection, tenant, request.tool, request.update_mask.paths)
            if "source_code" in request.update_mask.paths:
                self._read_source(changed, anew="json_schema" not in request.update_mask.paths)
            definitions.check(changed)
            return pb.UpdateToolResponse(tool=owned.shown(tools.store(connection, tenant, changed)))

        return await self._once(request, pb.UpdateToolResponse, work)

    async def DeleteTool(self, request: pb.DeleteToolRequest, context: Context) -> pb.DeleteToolResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DeleteToolResponse:
            owned.change(connection, tenant, pb.Tool(id=request.tool_id), ())
            tools.remove(connection, tenant, request.tool_id)
            return pb.DeleteToolResponse()

        return await self._once(request, pb.DeleteToolResponse, work)

    async def AttachTool(self, request: pb.AttachToolRequest, context: Context) -> pb.AttachToolResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.AttachToolResponse:
            agent = agents.get(connection, tenant, request.agent_id)
            name = owned.get(connection, tenant, request.tool_id).name
            names = list(dict.fromkeys([*agent.tools, name]))
            changed = agents.change(connection, tenant, pb.Agent(id=agent.id, tools=names), ["tools"])
            return pb.AttachToolResponse(agent=changed)

        return await self._once(request, pb.AttachToolResponse, work)

    async def DetachTool(self, request: pb.DetachToolRequest, context: Context) -> pb.DetachToolResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DetachToolResponse:
            agent = agents.get(connection, tenant, request.agent_id)
            name = owned.get(connection, tenant, request.tool_id).name
            names = [each for each in agent.tools if each != name]
            changed = agents.change(connection, tenant, pb.Agent(id=agent.id, tools=names), ["tools"])
            return pb.DetachToolResponse(agent=changed)

        return await self._once(request, pb.DetachToolResponse, work)

    async def RunTool(self, request: pb.RunToolRequest, context: Context) -> pb.RunToolResponse:
        return await self._single.run(principal.current(), request)

    def _completed(self, wanted: pb.Tool) -> pb.Tool:
        """A tool to be made, with what can be left out, checked. Raises: InvalidArgument, FailedPrecondition."""
        tool = pb.Tool()
        tool.CopyFrom(wanted)
        if tool.tool_type == pb.TOOL_TYPE_UNSPECIFIED:
            tool.tool_type = pb.TOOL_TYPE_PYTHON if tool.source_code else pb.TOOL_TYPE_CLIENT
        if tool.tool_type not in (pb.TOOL_TYPE_CLIENT, pb.TOOL_TYPE_PYTHON):
            raise InvalidArgument.of("tool_type", "must be client or python; tools of MCP servers come with those")
        tool.mcp_server_id = tool.mcp_tool_name = ""
        if tool.tool_type == pb.TOOL_TYPE_PYTHON:
            self._read_source(tool, anew=False)
        tool.name = tool.name or definitions.name_in_schema(tool)
        definitions.check(tool)
        return tool

    def _read_source(self, tool: pb.Tool, *, anew: bool) -> None:
        """`anew`: even the schema that there is. Raises: InvalidArgument, FailedPrecondition."""
        if tool.tool_type != pb.TOOL_TYPE_PYTHON:
            raise InvalidArgument.of("source_code", "is for Python tools alone")
        if not self._outside.python.settings.enabled:
            raise FailedPrecondition("Python tools are switched off on this server (TRIPTYCH_PYTHON_TOOLS)")
        if anew:
            tool.ClearField("json_schema")
        definitions.read_source(tool)
