"""Work that goes on though who asked for it has gone: what it yields is passed on for as long as somebody takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Generic, TypeVar

from triptych.errors import TriptychError

T = TypeVar("T")
# What waits for its reader; the work waits when there is so much.
_MOST_WAITING = 256


class Detached(Generic[T]):
    """Keeps the work of all callers until it is over."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def items(self, work: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """What the work yields. Leaving the loop leaves the work running. Raises: what the work raises."""
        items: asyncio.Queue[T | None] = asyncio.Queue(_MOST_WAITING)
        gone = asyncio.Event()
        task = asyncio.create_task(_pass_on(work, items, gone))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (item := await items.get()) is not None:
                yield item
            await task
        finally:
            gone.set()
            while not items.empty():  # the work may wait for a place
                items.get_nowait()

    async def close(self) -> None:
        """Stops it all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pass_on(work: AsyncIterator[T], items: asyncio.Queue[T | None], gone: asyncio.Event) -> None:
    try:
        async for item in work:
            if not gone.is_set():
                await items.put(item)
    except TriptychError:
        if not gone.is_set():
            raise
    finally:
        if not gone.is_set():
            await items.put(None)
