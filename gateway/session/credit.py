"""How many more events a call may send."""

from __future__ import annotations

import asyncio

DEFAULT_WINDOW = 64
MOST = 100_000


class Credit:
    """Counts down with what is sent, up with what the client has read."""

    def __init__(self, window: int) -> None:
        self._left = min(window, MOST) if window > 0 else DEFAULT_WINDOW
        self._more = asyncio.Event()

    def add(self, events: int) -> None:
        self._left = min(self._left + max(events, 0), MOST)
        self._more.set()

    async def take(self) -> None:
        """Takes one, waiting for it if there is none."""
        while self._left == 0:
            self._more.clear()
            await self._more.wait()
        self._left -= 1
