"""A connection that holds no more of a request's head than it may, and waits no longer than it may.

For the head, that is, and for a reader of the answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 20.0
# A reader that takes nothing for so long would hold what is made for it.
READ_SECONDS = 60.0


class _Bounds:
    """How far a connection is. Apart from it, since with more names than it has its own would take twice the memory."""

    __slots__ = ("head_bytes", "in_head", "too_slow", "unread")

    def __init__(self) -> None:
        # In a head; else in what a body has beside itself: sizes of chunks, and trailers.
        self.in_head, self.head_bytes = True, 0
        self.too_slow: asyncio.TimerHandle | None = None
        self.unread: asyncio.TimerHandle | None = None


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's, which by itself keeps a head of any length for any time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bounds = _Bounds()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._bounds.too_slow = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        # Not closed, which would wait for the reader again.
        self._bounds.unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        # Counted before it is parsed: what came earlier of this head, or trailer, was kept by the parser.
        if self._bounds.head_bytes > MOST_HEAD_BYTES:
            self.send_400_response("The request's head is too large.")
            return
        self._bounds.head_bytes += len(data)
        if self._bounds.in_head and self._bounds.too_slow is None:
            self._close_later()
        super().data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._bounds.in_head:  # else a trailer, which nobody may say anything by
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._bounds.in_head, self._bounds.head_bytes = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bounds.head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        # What comes next on this connection is another request's head.
        self._bounds.in_head, self._bounds.head_bytes = True, 0
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        # Nobody waits any more for what is still to come of a request that is answered.
        if not self._bounds.in_head and self.cycle.response_complete and self._bounds.too_slow is None:
            self._close_later()
        super().on_response_complete()

    def _close_later(self) -> None:
        self._bounds.too_slow = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _is_read(self) -> None:
        if self._bounds.unread is not None:
            self._bounds.unread.cancel()
            self._bounds.unread = None

    def _stop_waiting(self) -> None:
        if self._bounds.too_slow is not None:
            self._bounds.too_slow.cancel()
            self._bounds.too_slow = None
