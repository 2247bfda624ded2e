"""Server-sent events: answers that go on until they end, or nobody reads them any more.

Thousands of them may be open and say nothing. So none keeps the framework's dozen of frames and its group of tasks
alive: what a route answers is handed back to the door, which delivers it when the framework is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING_SECONDS = 15.0
_KEY = "triptych.events"
_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))


class EventStream(Response):
    """`pieces`: whole events, encoded. `ping`: one that is sent when none came for a while; empty: none is."""

    __slots__ = ("_pieces", "_ping")
    status_code = 200
    background = None

    def __init__(self, pieces: AsyncGenerator[bytes, None], ping: bytes = b"") -> None:
        self._pieces, self._ping = pieces, ping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_KEY] = self

    async def deliver(self, receive: Receive, send: Send) -> None:
        """Sends it to its end, or until the client is gone."""
        me, over = asyncio.current_task(), False
        assert me is not None

        def leave(_: asyncio.Future[None]) -> None:
            if not over:
                me.cancel()

        gone = asyncio.ensure_future(_disconnected(receive))
        gone.add_done_callback(leave)
        try:
            await self._send(send)
        except asyncio.CancelledError:
            if not gone.done():  # it is the server that stops
                raise
            me.uncancel()
        finally:
            over = True
            gone.cancel()

    async def _send(self, send: Send) -> None:
        pings = _Pings(send, self._ping) if self._ping else None
        try:
            async with aclosing(self._pieces) as pieces:
                await send({"type": "http.response.start", "status": self.status_code, "headers": _HEADERS})
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    if pings is not None:
                        pings.not_needed()
        finally:
            if pings is not None:
                pings.stop()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Pings:
    """Sends pings beside a stream while it is silent. That costs it a timer, where waiting in turns costs a task."""

    __slots__ = ("_loop", "_ping", "_send", "_sending", "_silent_since", "_timer")

    def __init__(self, send: Send, ping: bytes) -> None:
        self._send, self._ping = send, ping
        self._loop = asyncio.get_running_loop()
        self._silent_since = self._loop.time()
        self._timer = self._loop.call_later(PING_SECONDS, self._look)
        self._sending: asyncio.Task[None] | None = None

    def not_needed(self) -> None:
        """Something was sent."""
        self._silent_since = self._loop.time()

    def _look(self) -> None:
        if self._loop.time() >= self._silent_since + PING_SECONDS:
            self._sending = self._loop.create_task(self._send_one())
            self.not_needed()
        self._timer = self._loop.call_at(self._silent_since + PING_SECONDS, self._look)

    async def _send_one(self) -> None:
        await self._send({"type": "http.response.body", "body": self._ping, "more_body": True})
        self._sending = None

    def stop(self) -> None:
        self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()


def left_to_deliver(scope: Scope) -> EventStream | None:
    """What a route has answered this request with, if it is events."""
    found: EventStream | None = scope.get(_KEY)
    return found


async def _disconnected(receive: Receive) -> None:
    """Behind the request's body a server has nothing more to say than that the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
