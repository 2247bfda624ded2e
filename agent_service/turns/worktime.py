"""How long a turn may work. What it waits for people does not count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from triptych.errors import DeadlineExceeded


class WorkTime:
    """`seconds`: 0 for no limit. A turn that is taken up again begins anew."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout: asyncio.Timeout | None = None

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Raises: DeadlineExceeded if what is inside works longer; it is cancelled where it is."""
        self._timeout = asyncio.timeout(self._seconds or None)
        try:
            async with self._timeout:
                yield
        except TimeoutError:
            if not self._timeout.expired():
                raise
            raise DeadlineExceeded(
                f"the turn worked longer than {self._seconds:g} seconds; what its finished steps did stays"
            ) from None

    @contextmanager
    def paused(self) -> Iterator[None]:
        timeout = self._timeout
        until = timeout.when() if timeout is not None else None
        if timeout is None or until is None:
            yield
            return
        loop = asyncio.get_running_loop()
        left = until - loop.time()
        timeout.reschedule(None)
        yield
        timeout.reschedule(loop.time() + left)
