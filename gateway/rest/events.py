"""Server-sent events: answers that go on until they end, or nobody reads them any more.

Thousands of them may be open and say nothing. So none keeps the framework's dozen of frames and its group of tasks
alive: what a route answers is handed back to the door, which delivers it when the framework is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_KEY = "triptych.events"


class EventStream(StreamingResponse):
    """`pieces`: whole events, encoded."""

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        super().__init__(pieces, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._pieces = pieces

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
        async with aclosing(self._pieces) as pieces:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def left_to_deliver(scope: Scope) -> EventStream | None:
    """What a route has answered this request with, if it is events."""
    found: EventStream | None = scope.get(_KEY)
    return found


async def _disconnected(receive: Receive) -> None:
    """Behind the request's body a server has nothing more to say than that the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
