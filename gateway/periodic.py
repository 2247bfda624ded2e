"""Work that is done every so often, and once more at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from servicekit.background import went_well


class Periodic:
    """Runs `work` every `seconds`; a failure is logged, and it is tried again the next time."""

    def __init__(self, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        self._name, self._seconds, self._work = name, seconds, work
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._loop())

    async def close(self) -> None:
        """Stops it and runs the work a last time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._run()

    async def _loop(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self._run()

    async def _run(self) -> None:
        await went_well(self._work(), f"{self._name} failed, will be tried again")
