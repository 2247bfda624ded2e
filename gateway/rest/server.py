"""Runs the REST app in the gateway's own event loop."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp

from gateway.rest.connection import BoundedProtocol
from servicekit.server import PortInUse, Tls


class HttpServer:
    """`tls`: None for plain HTTP."""

    def __init__(self, app: ASGIApp, listen: str, tls: Tls | None = None) -> None:
        self._host, _, port = listen.rpartition(":")
        self._port = int(port)
        config = uvicorn.Config(
            app,
            loop="none",
            interface="asgi3",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,  # who calls is told by a key, and by no header
            http=BoundedProtocol,
            timeout_keep_alive=75,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
        )
        self._scheme = "https" if tls else "http"
        self._server = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Binds and serves; gives the URL. Raises: PortInUse."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Named as TCP, or asyncio's own loop leaves Nagle's algorithm on: 40 ms more for each answer.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self._host.strip("[]"), self._port))
        except OSError as error:
            bound.close()
            raise PortInUse(f"can't listen on {self._host}:{self._port}: {error.strerror}") from None
        port = bound.getsockname()[1]
        # Not `serve`, which would take over the process's signals.
        self._task = asyncio.get_running_loop().create_task(self._server._serve([bound]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
            await asyncio.sleep(0.005)
        return f"{self._scheme}://{self._host}:{port}"

    async def stop(self, grace_seconds: float) -> None:
        """No new connections; requests under way get `grace_seconds`."""
        self._server.config.timeout_graceful_shutdown = int(grace_seconds)
        self._server.should_exit = True
        if self._task is not None:
            await self._task
