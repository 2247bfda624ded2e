"""MCP servers, and the tools that come with them. What proves to them who the user is goes in and never comes out."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import Request, Response
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic import Field

from gateway.rest import forms, shapes
from gateway.rest.common import Back, NewestFirst, answer, answers, request_id
from gateway.rest.endpoints import Router
from gateway.rest.schemas import Body
from gateway.rest.tool_results import RunArguments, result
from triptych.agent.v1 import agent_pb2 as pb
from triptych.errors import InvalidArgument, NotFound

router = Router(prefix="/v1/mcp-servers", tags=["mcp-servers"])

_TRANSPORTS = {
    "streamable_http": pb.MCP_TRANSPORT_STREAMABLE_HTTP,
    "sse": pb.MCP_TRANSPORT_SSE,
    "stdio": pb.MCP_TRANSPORT_STDIO,
}
_TYPES = {transport: name for name, transport in _TRANSPORTS.items()}
_AUTHORIZATION = "authorization"


class OverHttp(Body):
    """`auth_token` is sent as the header `auth_header` (usually `Authorization`)."""

    mcp_server_type: Literal["sse", "streamable_http"] | None = None
    server_url: str | None = None
    auth_header: str | None = None
    auth_token: str | None = None
    custom_headers: dict[str, str] | None = None

    def headers(self) -> dict[str, str] | None:
        """All that are given; None if none is."""
        if self.auth_token is None:
            return self.custom_headers
        return {**(self.custom_headers or {}), self.auth_header or "Authorization": self.auth_token}


class AsProgram(Body):
    """A program of the server's machine, where that is switched on."""

    mcp_server_type: Literal["stdio"]
    command: str | None = None
    args: list[str] | None = None
    env: dict[str, str] | None = None


class McpServerUpdate(Body):
    server_name: str | None = None
    config: Annotated[AsProgram | OverHttp, Field(union_mode="left_to_right")]


class McpServerCreate(McpServerUpdate):
    server_name: str


@router.post("")
async def create_server(body: McpServerCreate, request: Request, back: Back) -> Response:
    server, _ = _wanted(body.config)
    server.name = body.server_name
    create = pb.CreateMcpServerRequest(server=server, request_id=request_id(request))
    return answer(_shown((await back.agent_peer.unary(back.agents.CreateMcpServer, create)).server))


@router.get("")
async def list_servers(back: Back, listing: NewestFirst) -> Response:
    request = pb.ListMcpServersRequest(**listing.paging)
    return answers((await back.agent_peer.unary(back.agents.ListMcpServers, request)).servers, _shown)


@router.get("/{mcp_server_id}")
async def get_server(mcp_server_id: str, back: Back) -> Response:
    return answer(_shown(await _fetch(back, mcp_server_id)))


@router.patch("/{mcp_server_id}")
async def update_server(mcp_server_id: str, body: McpServerUpdate, request: Request, back: Back) -> Response:
    """Headers and variables with an empty value keep the value that they have."""
    current = await _fetch(back, mcp_server_id)
    if body.server_name not in (None, current.name):
        raise InvalidArgument.of("server_name", "can't be changed: the names of the server's tools begin with it")
    server, paths = _wanted(body.config)
    server.id = mcp_server_id
    if isinstance(body.config, OverHttp) and body.config.custom_headers is None and "headers" in paths:
        for name in current.headers:  # a new token alone: the others stay
            if name.lower() not in {given.lower() for given in server.headers}:
                server.headers[name] = ""
    if server.transport != current.transport:  # nothing of the old way stays
        paths = ["transport", "url", "headers", "command", "arguments", "environment"]
    update = pb.UpdateMcpServerRequest(
        server=server, update_mask=FieldMask(paths=paths), request_id=request_id(request)
    )
    return answer(_shown((await back.agent_peer.unary(back.agents.UpdateMcpServer, update)).server))


@router.delete("/{mcp_server_id}", status_code=204)
async def delete_server(mcp_server_id: str, back: Back) -> Response:
    await back.agent_peer.unary(back.agents.DeleteMcpServer, pb.DeleteMcpServerRequest(server_id=mcp_server_id))
    return Response(status_code=204)


@router.patch("/{mcp_server_id}/refresh")
async def refresh_server(mcp_server_id: str, request: Request, back: Back) -> Response:
    """Asks the server for its tools again; gives the names of those that are new, gone, and still there."""
    before = {tool.name for tool in await _tools(back, mcp_server_id)}
    refresh = pb.RefreshMcpServerRequest(server_id=mcp_server_id, request_id=request_id(request))
    now = {tool.name for tool in (await back.agent_peer.unary(back.agents.RefreshMcpServer, refresh)).tools}
    return answer({"added": sorted(now - before), "deleted": sorted(before - now), "updated": sorted(now & before)})


@router.get("/{mcp_server_id}/tools")
async def list_tools(mcp_server_id: str, back: Back) -> Response:
    return answers(await _tools(back, mcp_server_id), shapes.tool)


@router.get("/{mcp_server_id}/tools/{tool_id}")
async def get_tool(mcp_server_id: str, tool_id: str, back: Back) -> Response:
    return answer(shapes.tool(await _tool(back, mcp_server_id, tool_id)))


@router.post("/{mcp_server_id}/tools/{tool_id}/run")
async def run_tool(
    mcp_server_id: str, tool_id: str, request: Request, back: Back, body: RunArguments | None = None
) -> Response:
    """Calls the tool, once, for no agent."""
    await _tool(back, mcp_server_id, tool_id)
    arguments = json.dumps(body.args if body else {})
    run = pb.RunToolRequest(tool_id=tool_id, arguments=arguments, request_id=request_id(request))
    return answer(result(await back.agent_peer.unary(back.agents.RunTool, run)))


async def _fetch(back: Back, server_id: str) -> pb.McpServer:
    """Raises: NotFound."""
    request = pb.GetMcpServerRequest(server_id=server_id)
    return (await back.agent_peer.unary(back.agents.GetMcpServer, request)).server


async def _tools(back: Back, server_id: str) -> list[pb.Tool]:
    """Raises: NotFound."""
    await _fetch(back, server_id)
    request = pb.ListToolsRequest(mcp_server_id=server_id)
    return list((await back.agent_peer.unary(back.agents.ListTools, request)).tools)


async def _tool(back: Back, server_id: str, tool_id: str) -> pb.Tool:
    """Raises: NotFound, also for a tool that does not come from that server."""
    await _fetch(back, server_id)
    tool = (await back.agent_peer.unary(back.agents.GetTool, pb.GetToolRequest(tool_id=tool_id))).tool
    if tool.mcp_server_id != server_id:
        raise NotFound("tool", tool_id)
    return tool


def _wanted(config: AsProgram | OverHttp) -> tuple[pb.McpServer, list[str]]:
    """The server as it is to be reached, and which of the contract's fields say so."""
    transport = _TRANSPORTS[config.mcp_server_type or "streamable_http"]
    if isinstance(config, AsProgram):
        fields: dict[str, Any] = {"command": config.command, "arguments": config.args, "environment": config.env}
    else:
        fields = {"url": config.server_url, "headers": config.headers()}
    given = {name: value for name, value in fields.items() if value is not None}
    return pb.McpServer(transport=transport, **given), ["transport", *given]


def _shown(server: pb.McpServer) -> forms.Json:
    """Secrets by their names alone."""
    shown = {"id": server.id, "server_name": server.name, "mcp_server_type": _TYPES[server.transport]}
    if server.transport == pb.MCP_TRANSPORT_STDIO:
        return {**shown, "command": server.command, "args": list(server.arguments), "env": dict(server.environment)}
    return {
        **shown,
        "server_url": server.url,
        "auth_header": next((name for name in server.headers if name.lower() == _AUTHORIZATION), None),
        "auth_token": None,
        "custom_headers": dict(server.headers),
    }
