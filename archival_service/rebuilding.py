"""An index that is still being built of what the store has, while the service serves.

Writes go to it from the start; searches are answered from the store itself (see `scanning`), so that they miss nothing,
until it has all. How far it has come is in the store, and moves when the index has flushed: a start after a kill goes
on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from archival_service import claiming, scanning
from archival_service.progress import Progress
from archival_service.store import Entry, Filters, Found, PassageIndex
from archival_service.stores import outbox, spans
from archival_service.stores.spans import Span
from embedders import Vectors
from servicekit.background import until_well
from servicekit.principal import Tenant
from servicekit.sql import Database

_log = structlog.get_logger("rebuilding")
_BATCH = 500
# So many between two flushes: what a kill costs to do again.
_FLUSHED = 5_000
_RETRY_SECONDS = 5.0


class Rebuilding:
    """A PassageIndex over one that is being built, and the task that builds it. It closes the index with itself.

    `claim`: what replicas that share the index claim, so that one of them builds it and the others wait for that.
    `then`: what is to be done when it is built.
    """

    def __init__(
        self,
        sql: Database,
        index: PassageIndex,
        *,
        claim: str = "",
        then: Callable[[], Awaitable[None]] | None = None,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._sql, self.index, self._claim, self._then = sql, index, claim, then
        self._built = asyncio.Event()
        work = until_well(self._finish, "the index waits to be built", retry_seconds)
        self._task = asyncio.get_running_loop().create_task(work)

    async def put(self, entries: Sequence[Entry]) -> None:
        await self.index.put(entries)

    async def forget(self, numbers: Sequence[int]) -> None:
        await self.index.forget(numbers)

    async def flush(self) -> None:
        await self.index.flush()

    async def candidates(
        self, tenant: Tenant, filters: Filters, most: int, *, vector: Vectors | None, words: str
    ) -> tuple[list[Found], list[Found]]:
        if self._built.is_set():
            return await self.index.candidates(tenant, filters, most, vector=vector, words=words)
        return await scanning.candidates(self._sql, tenant, filters, most, vector=vector, words=words)

    async def count(self) -> int:
        return await self.index.count()

    async def built(self) -> None:
        """Returns when the index has all."""
        await self._built.wait()

    async def close(self) -> None:
        """What is not built waits for the next start."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await self.index.close()

    async def _finish(self) -> None:
        await self._build_once()
        self._built.set()
        if self._then is not None:
            await self._then()

    async def _build_once(self) -> None:
        """Here, or by the replica that has begun."""
        if not self._claim:
            await self._build()
            return
        while await self._sql.read(lambda c: spans.left(c, spans.REBUILD)):
            if await claiming.claim(self._sql, self._claim):
                async with claiming.holding(self._sql, self._claim):
                    await self._build()
            else:
                await asyncio.sleep(claiming.POLL_SECONDS)

    async def _build(self) -> None:
        left = await self._sql.read(lambda c: spans.left(c, spans.REBUILD))
        progress = Progress(_log, "building the index", await self._sql.read(lambda c: spans.count(c, spans.REBUILD)))
        if progress.total:
            _log.warning("the index is built anew: meanwhile searches take longer", passages=progress.total)
        unflushed = 0
        while entries := await self._sql.read(partial(outbox.entries_after, span=left, most=_BATCH)):
            await self._put(entries)
            progress.add(len(entries))
            unflushed += len(entries)
            left = Span(entries[-1].n, left.until)
            if unflushed >= _FLUSHED:
                await self._keep(left.after)
                unflushed = 0
        await self._keep(left.until)
        if progress.total:
            _log.info("the index is built", passages=progress.done)

    async def _put(self, entries: Sequence[Entry]) -> None:
        numbers = [entry.n for entry in entries]
        await self.index.put(entries)
        # What was deleted between the look and now.
        await self.index.forget(await self._sql.read(lambda c: outbox.gone(c, numbers)))

    async def _keep(self, after: int) -> None:
        await self.index.flush()
        await self._sql.write(lambda c: spans.advance(c, spans.REBUILD, after))
