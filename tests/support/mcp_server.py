"""A real MCP server as a process of its own: `python -m tests.support.mcp_server http|sse|stdio`.

It prints its URL when it is ready. Over HTTP it wants the header `Authorization: Bearer letmein`.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from mcp import MCPError
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import INVALID_PARAMS
from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN = "Bearer letmein"  # noqa: S105 - of this server
server = MCPServer("tests", log_level="CRITICAL")
_met, _refused = asyncio.Event(), asyncio.Event()
_calls: list[str] = []


@server.tool()
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return str(a + b)


@server.tool()
async def meet(count: int) -> str:
    """Returns when it has been called `count` times at once."""
    _calls.append("meet")
    if len(_calls) >= count:
        _met.set()
    await _met.wait()
    return "met"


@server.tool()
async def hang() -> str:
    """Never returns."""
    _calls.append("hang")
    await asyncio.Event().wait()
    return ""


@server.tool()
def count(name: str) -> str:
    """How often a tool was called."""
    return str(_calls.count(name))


@server.tool()
def large(size: int) -> str:
    """Returns that many characters."""
    return "x" * size


@server.tool()
def refuse() -> str:
    """Answers with an error of the protocol."""
    _refused.set()
    raise MCPError(INVALID_PARAMS, "as asked")


@server.tool()
async def outlast() -> str:
    """Returns a while after `refuse` was called."""
    await _refused.wait()
    await asyncio.sleep(0.5)
    return "done"


@server.tool()
def fail() -> str:
    """Fails."""
    raise ToolError("as asked")


@server.tool(name="odd name/with:signs and a length that is far more than the sixty-four that models take")
def odd() -> str:
    return "odd"


def _guarded(app: ASGIApp) -> ASGIApp:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != TOKEN.encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"who are you"})
            return
        await app(scope, receive, send)

    return guarded


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}/{'sse' if sys.argv[1] == 'sse' else 'mcp'}", flush=True)


async def _serve(kind: str) -> None:
    app = server.sse_app() if kind == "sse" else server.streamable_http_app()
    await _Announcing(uvicorn.Config(_guarded(app), port=0, log_level="error")).serve()


@contextmanager
def running(kind: str) -> Iterator[str]:
    """Its URL."""
    command = [sys.executable, "-m", "tests.support.mcp_server", kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        asyncio.run(_serve(sys.argv[1]))
