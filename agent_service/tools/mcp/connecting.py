"""Connects to an MCP server, over whichever transport it has."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from agent_service import outbound
from agent_service.tool_settings import McpSettings
from agent_service.tools.base import ToolError
from triptych.agent.v1 import agent_pb2 as pb

# What one response may bring; what a model is shown of it is cut much shorter.
MAX_RESPONSE_BYTES = 8 * 1024 * 1024


@asynccontextmanager
async def connect(server: pb.McpServer, settings: McpSettings) -> AsyncIterator[Client]:
    """An open client. Raises: ToolError for an address or a transport that is not allowed; what the package raises."""
    async with AsyncExitStack() as stack:
        if server.transport == pb.MCP_TRANSPORT_STDIO:
            # The stack closes it, and the null device never blocks
            log = stack.enter_context(Path(os.devnull).open("w"))  # noqa: SIM115, ASYNC230
            transport = _stdio(server, settings, log)
        else:
            await _check(server.url, settings)
            transport = await _http(server, settings, stack)
        yield await stack.enter_async_context(Client(transport, read_timeout_seconds=settings.timeout_seconds))


async def _check(url: str, settings: McpSettings) -> None:
    """Raises: ToolError for an address that is not allowed."""
    try:
        await outbound.resolve(url, private=settings.private_addresses)
    except outbound.AddressRefused as error:
        raise ToolError(f"The MCP server's {error}") from None


def _stdio(server: pb.McpServer, settings: McpSettings, log: TextIO) -> Any:
    """A program of this machine. It is given its own environment and nothing of ours but the path; its log is lost."""
    if not settings.stdio:
        raise ToolError("This server does not start MCP servers as programs (TRIPTYCH_MCP_STDIO).")
    parameters = StdioServerParameters(
        command=server.command, args=list(server.arguments), env=dict(server.environment)
    )
    return stdio_client(parameters, errlog=log)


async def _http(server: pb.McpServer, settings: McpSettings, stack: AsyncExitStack) -> Any:
    def client(
        headers: dict[str, str] | None = None, timeout: httpx2.Timeout | None = None, auth: httpx2.Auth | None = None
    ) -> httpx2.AsyncClient:
        transport = outbound.GuardedTransport(private=settings.private_addresses, max_bytes=MAX_RESPONSE_BYTES)
        return httpx2.AsyncClient(
            headers=headers,
            timeout=timeout or settings.timeout_seconds,
            auth=auth,
            transport=transport,
            trust_env=False,
        )

    headers = dict(server.headers)
    if server.transport == pb.MCP_TRANSPORT_SSE:
        return sse_client(server.url, headers, timeout=settings.timeout_seconds, httpx_client_factory=client)
    http = await stack.enter_async_context(client(headers))
    return streamable_http_client(server.url, http_client=http, max_sse_event_size=MAX_RESPONSE_BYTES)
