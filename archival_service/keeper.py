"""Holds the index to what the SQL store says, while the service runs and at its start."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from archival_service.progress import Progress
from archival_service.store import PassageIndex
from archival_service.stores import outbox
from archival_service.stores.outbox import Change
from servicekit.background import went_well
from servicekit.sql import Database, Work
from triptych.errors import Unavailable

T = TypeVar("T")

_log = structlog.get_logger("keeper")
_BATCH = 200
# Changes wait so long in the outbox, so that one flush of the index to its disk serves many: it holds up all else.
SETTLE_SECONDS = 5.0
# What goes on for all owners goes on beside what is done for one.
_OUTBOX = "outbox"


class Keeper:
    """Commits what leaves changes in the outbox; whoever has told the index of them then says `note`.

    A little later, when that is on the index's disk, the outbox lets go of it. A change that nobody noted (the index
    failed, the caller was cancelled) is brought to the index here.
    """

    def __init__(self, sql: Database, index: PassageIndex, *, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._sql, self._index, self._settle_seconds = sql, index, settle_seconds
        self._told: dict[int, Change] = {}
        self._untold: set[int] = set()
        self._expected = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._loop())

    async def write(self, work: Work[T], *, alone: Hashable = None) -> T:
        """As `Database.write`. What it commits reaches the index also if the caller goes away meanwhile."""
        job = asyncio.ensure_future(self._sql.write(work, alone=alone))
        job.add_done_callback(self._written)
        return await asyncio.shield(job)

    def _written(self, job: asyncio.Future[Any]) -> None:
        """After the commit, not before: else the loop could look too early and go to sleep."""
        self._expected.set()
        if not job.cancelled():
            job.exception()  # looked at, since the caller may be gone

    def note(self, changes: Iterable[Change]) -> None:
        """The index has been told of these."""
        self._told.update((change.seq, change) for change in changes)

    async def close(self) -> None:
        """Lets go of what was told; the rest waits for the next start."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._settle()
        except (Unavailable, SQLAlchemyError) as error:
            _log.warning("the index could not be flushed: it is healed at the next start", error=str(error))

    async def _loop(self) -> None:
        while True:
            await self._expected.wait()
            await asyncio.sleep(self._settle_seconds)
            self._expected.clear()
            if not await went_well(self._catch_up(), "the index is behind: trying again"):
                self._expected.set()

    async def _catch_up(self) -> bool:
        """Whether the index has all."""
        await self._take_up()
        await self._settle()
        return await self._sql.read(outbox.count) == 0

    async def _take_up(self) -> None:
        """Tells the index of changes that have been there before and still nobody has noted."""
        changes = await self._sql.read(lambda c: outbox.waiting(c, 0, _BATCH))
        silent = [change for change in changes if change.seq not in self._told]
        late = [change for change in silent if change.seq in self._untold]
        self._untold = {change.seq for change in silent}
        if late:
            await bring(self._sql, self._index, late)
            self.note(late)
            _log.info("brought to the index late", changes=len(late))

    async def _settle(self) -> None:
        told = list(self._told.values())
        if not told:
            return
        # A delete may have overtaken the insert on the way to the index.
        gone = await self._sql.read(lambda c: outbox.gone(c, [change.n for change in told]))
        await self._index.forget(gone)
        await self._index.flush()
        await self._sql.write(lambda c: outbox.done(c, told), alone=_OUTBOX)
        for change in told:
            self._told.pop(change.seq, None)


async def heal(sql: Database, index: PassageIndex) -> None:
    """Brings everything in the outbox to the index and its disk, with progress in the log. For the start."""
    progress = Progress(_log, "indexing", await sql.read(outbox.count))
    brought: list[Change] = []
    while changes := await _waiting(sql, brought[-1].seq if brought else 0):
        await bring(sql, index, changes)
        brought.extend(changes)
        progress.add(len(changes))
    if brought:
        await index.flush()
        # Of these alone: another replica may have added to the outbox meanwhile.
        await sql.write(lambda c: outbox.done(c, brought), alone=_OUTBOX)
        _log.info("indexed", passages=len(brought))


async def _waiting(sql: Database, after: int) -> list[Change]:
    return await sql.read(lambda c: outbox.waiting(c, after, _BATCH))


async def bring(sql: Database, index: PassageIndex, changes: Sequence[Change]) -> None:
    """Tells the index how the changed passages are now. Raises: Unavailable."""
    numbers = [change.n for change in changes]
    entries = await sql.read(lambda c: outbox.entries(c, numbers))
    await index.put(entries)
    await index.forget(sorted(set(numbers) - {entry.n for entry in entries}))
