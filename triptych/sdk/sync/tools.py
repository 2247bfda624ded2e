# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Tools that agents can be given, and the MCP servers that some of them come from."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from triptych.agent.v1 import agent_pb2 as pb
from triptych.sdk.sync.transport import Transport

_SERVICE = "/triptych.agent.v1.AgentService/"


class Tools:
    """`client.tools`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create_client_tool(
        self,
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        *,
        requires_approval: bool = False,
        request_id: str | None = None,
    ) -> pb.Tool:
        """A tool that you run: a turn that calls it waits for `client.turns.continue_turn(..., returns=...)`.

        `parameters`: the JSON schema of an object. Raises: InvalidArgument, AlreadyExists.

            parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
            weather = client.tools.create_client_tool("weather", "The weather in a city.", parameters)
            client.tools.attach(agent.id, weather.id)
        """
        tool = pb.Tool(
            name=name,
            description=description,
            json_schema=json.dumps({"parameters": dict(parameters)}),
            tool_type=pb.TOOL_TYPE_CLIENT,
            requires_approval=requires_approval,
        )
        return self._create(tool, request_id)

    def create_python_tool(
        self, source_code: str, *, requires_approval: bool = False, request_id: str | None = None
    ) -> pb.Tool:
        """A tool that the server runs, where that is switched on: the last public function of a module.

        Name, description and schema come from it. Raises: InvalidArgument, AlreadyExists, FailedPrecondition.

            tool = client.tools.create_python_tool(inspect.getsource(roll_dice))
        """
        tool = pb.Tool(source_code=source_code, tool_type=pb.TOOL_TYPE_PYTHON, requires_approval=requires_approval)
        return self._create(tool, request_id)

    def _create(self, tool: pb.Tool, request_id: str | None) -> pb.Tool:
        request = pb.CreateToolRequest(tool=tool, request_id=request_id or str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "CreateTool", request, pb.CreateToolResponse)).tool

    def upsert(self, tool: pb.Tool, *, request_id: str | None = None) -> pb.Tool:
        """Makes a tool, or gives the one of its name new content. Raises: InvalidArgument."""
        request = pb.UpsertToolRequest(tool=tool, request_id=request_id or str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "UpsertTool", request, pb.UpsertToolResponse)).tool

    def get(self, tool_id: str) -> pb.Tool:
        """Raises: NotFound."""
        request = pb.GetToolRequest(tool_id=tool_id)
        return (self._transport.unary(_SERVICE + "GetTool", request, pb.GetToolResponse)).tool

    def list(self, *, name: str = "", mcp_server_id: str = "") -> Iterator[pb.Tool]:
        """The built-in tools, then your own."""
        request = pb.ListToolsRequest(name=name, mcp_server_id=mcp_server_id)
        while True:
            page = self._transport.unary(_SERVICE + "ListTools", request, pb.ListToolsResponse)
            for tool in page.tools:
                yield tool
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def update(self, tool_id: str, *, request_id: str | None = None, **fields: Any) -> pb.Tool:
        """Sets description, json_schema, tags, source_code, return_char_limit, requires_approval or metadata.

        Raises: NotFound, InvalidArgument, FailedPrecondition for a built-in tool.

            client.tools.update(tool.id, requires_approval=True)
        """
        request = pb.UpdateToolRequest(
            tool=pb.Tool(id=tool_id, **fields),
            update_mask=FieldMask(paths=list(fields)),
            request_id=request_id or str(uuid.uuid4()),
        )
        return (self._transport.unary(_SERVICE + "UpdateTool", request, pb.UpdateToolResponse)).tool

    def delete(self, tool_id: str) -> None:
        """Deletes a tool, and takes it from every agent. Raises: NotFound."""
        request = pb.DeleteToolRequest(tool_id=tool_id, request_id=str(uuid.uuid4()))
        self._transport.unary(_SERVICE + "DeleteTool", request, pb.DeleteToolResponse)

    def attach(self, agent_id: str, tool_id: str) -> pb.Agent:
        """Raises: NotFound."""
        request = pb.AttachToolRequest(agent_id=agent_id, tool_id=tool_id, request_id=str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "AttachTool", request, pb.AttachToolResponse)).agent

    def detach(self, agent_id: str, tool_id: str) -> pb.Agent:
        """Raises: NotFound."""
        request = pb.DetachToolRequest(agent_id=agent_id, tool_id=tool_id, request_id=str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "DetachTool", request, pb.DetachToolResponse)).agent

    def run(
        self,
        tool_id: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        agent_id: str = "",
        request_id: str | None = None,
    ) -> pb.RunToolResponse:
        """Calls a tool once, outside of any turn: `status` and `text`. `agent_id`: whose call it is to be.

        Raises: NotFound; InvalidArgument, FailedPrecondition for a tool that can't be called like this.

            tool = next(client.tools.list(name="memory_insert"))
            ran = client.tools.run(tool.id, {"label": "human", "new_string": "Ann"}, agent_id=agent.id)
        """
        request = pb.RunToolRequest(
            tool_id=tool_id,
            agent_id=agent_id,
            arguments=json.dumps(dict(arguments or {})),
            request_id=request_id or str(uuid.uuid4()),
        )
        return self._transport.unary(_SERVICE + "RunTool", request, pb.RunToolResponse)


class McpServers:
    """`client.mcp_servers`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        url: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        sse: bool = False,
        command: str = "",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> pb.CreateMcpServerResponse:
        """Registers a server, and makes a tool of each of its tools: `tools` in what is returned.

        `headers` are kept and never shown again. `command`, with `arguments` and `environment`: in place of a URL a
        program of the server's machine, where that is switched on. Raises: InvalidArgument, AlreadyExists, Unavailable.

            made = client.mcp_servers.create("kit", "https://example.org/mcp", headers={"Authorization": "..."})
            client.tools.attach(agent.id, made.tools[0].id)
        """
        transport = pb.MCP_TRANSPORT_SSE if sse else pb.MCP_TRANSPORT_STREAMABLE_HTTP
        server = pb.McpServer(
            name=name,
            url=url,
            headers=headers,
            transport=pb.MCP_TRANSPORT_STDIO if command else transport,
            command=command,
            arguments=arguments,
            environment=environment,
        )
        request = pb.CreateMcpServerRequest(server=server, request_id=request_id or str(uuid.uuid4()))
        return self._transport.unary(_SERVICE + "CreateMcpServer", request, pb.CreateMcpServerResponse)

    def get(self, server_id: str) -> pb.McpServer:
        """Its headers and environment with empty values. Raises: NotFound."""
        request = pb.GetMcpServerRequest(server_id=server_id)
        return (self._transport.unary(_SERVICE + "GetMcpServer", request, pb.GetMcpServerResponse)).server

    def list(self) -> Iterator[pb.McpServer]:
        """In the order of their making."""
        request = pb.ListMcpServersRequest(page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListMcpServers", request, pb.ListMcpServersResponse)
            for server in page.servers:
                yield server
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def refresh(self, server_id: str) -> pb.RefreshMcpServerResponse:
        """Asks the server for its tools again. Raises: NotFound, Unavailable."""
        request = pb.RefreshMcpServerRequest(server_id=server_id, request_id=str(uuid.uuid4()))
        return self._transport.unary(_SERVICE + "RefreshMcpServer", request, pb.RefreshMcpServerResponse)

    def update(
        self, server_id: str, *, url: str | None = None, headers: Mapping[str, str] | None = None
    ) -> pb.UpdateMcpServerResponse:
        """Reaches a server at another URL, or with other headers (an empty value keeps the one that it has).

        Its tools are asked for again. Raises: NotFound, InvalidArgument, Unavailable.
        """
        given = {"url": url is not None, "headers": headers is not None}
        request = pb.UpdateMcpServerRequest(
            server=pb.McpServer(id=server_id, url=url or "", headers=headers),
            update_mask=FieldMask(paths=[name for name, there in given.items() if there]),
            request_id=str(uuid.uuid4()),
        )
        return self._transport.unary(_SERVICE + "UpdateMcpServer", request, pb.UpdateMcpServerResponse)

    def delete(self, server_id: str) -> None:
        """Deletes a server with its tools. Raises: NotFound."""
        request = pb.DeleteMcpServerRequest(server_id=server_id, request_id=str(uuid.uuid4()))
        self._transport.unary(_SERVICE + "DeleteMcpServer", request, pb.DeleteMcpServerResponse)
