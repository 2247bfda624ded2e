"""One lane a conversation: its turns run one at a time, in the order in which they were accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from triptych.errors import Aborted

# How many turns may wait in one conversation.
MAX_WAITING = 64


class WaitedTooLong(Aborted):
    """A turn's time in the lane is over: CONVERSATION_BUSY."""


class _Lane:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.taken = 0


class Lanes:
    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}

    def take_place(self, conversation_id: str) -> bool:
        """Takes a place in the lane; true if it is the first. Each place is given back by `leave` or `turn`.

        Raises: Aborted CONVERSATION_BUSY if too many wait.
        """
        lane = self._lanes.setdefault(conversation_id, _Lane())
        if lane.taken > MAX_WAITING:
            raise Aborted(f"{MAX_WAITING} turns already wait in this conversation: try again when some have ended")
        lane.taken += 1
        return lane.taken == 1

    def leave(self, conversation_id: str) -> None:
        lane = self._lanes[conversation_id]
        lane.taken -= 1
        if lane.taken == 0:
            del self._lanes[conversation_id]

    @asynccontextmanager
    async def turn(self, conversation_id: str, seconds: float | None = None) -> AsyncIterator[None]:
        """Waits for this place's turn (first come, first served) and gives the place back at the end.

        Raises: WaitedTooLong after so many seconds.
        """
        lock = self._lanes[conversation_id].lock
        try:
            try:
                async with asyncio.timeout(seconds):
                    await lock.acquire()
            except TimeoutError:
                raise WaitedTooLong(f"the turns before this one took longer than {seconds:g} seconds") from None
            try:
                yield
            finally:
                lock.release()
        finally:
            self.leave(conversation_id)
