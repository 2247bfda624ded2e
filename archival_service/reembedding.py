"""Makes all vectors anew after a change of the embedder, while the service serves.

The old embedder may be gone, and its vectors can't be compared with the new one's. So the index keeps the words of all
passages from the start, and a passage's vector comes to it when the new embedder has made it: meanwhile searches by
words find everything, searches by meaning what is done. How far it has come is in the store with each batch, and a
restart goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import structlog
from sqlalchemy import Connection

from archival_service import claiming
from archival_service.keeper import Keeper, bring
from archival_service.progress import Progress
from archival_service.store import PassageIndex
from archival_service.stores import awaiting, outbox
from archival_service.stores.outbox import Change
from archival_service.stores.tables import passages
from embedders import Embedder, EmbedderUnavailable, Vectors
from embedders.apart import embed_apart
from servicekit.background import until_well
from servicekit.sql import Database, StoreError, Work

_log = structlog.get_logger("reembedding")
_BATCH = 64
_RETRY_SECONDS = 5.0
# Of several replicas one does it.
_CLAIM = "reembedding-until"


async def use(sql: Database, embedder: Embedder) -> bool:
    """Makes the store this embedder's. If it was another's, all its passages wait to be embedded anew; says whether so.

    Raises: StoreError if it was another's and this one gives no vector now: the old ones are not given up for that.
    """
    mine = f"{embedder.model}/{embedder.dimensions}"
    known = await sql.read(awaiting.embedder)
    if known == mine:
        return False
    if known:
        await _try(embedder, known)
    await sql.write(lambda c: awaiting.begin(c, mine))
    return bool(known)


async def _try(embedder: Embedder, known: str) -> None:
    try:
        await embedder.embed(["Is anybody there?"])
    except EmbedderUnavailable as error:
        raise StoreError(
            f"the vectors here are of the embedder {known}, and {embedder.model}, which is configured, can't make new "
            f"ones: {error.message}. Mend it, or go back to that one (TRIPTYCH_EMBEDDER…)"
        ) from error


class Reembedder:
    """Works through what waits, in the background; where nothing waits it ends at once."""

    def __init__(
        self,
        sql: Database,
        index: PassageIndex,
        embedder: Embedder,
        keeper: Keeper,
        *,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._sql, self._index, self._embedder, self._keeper = sql, index, embedder, keeper
        work = until_well(self._embed_all, "passages wait to be embedded anew", retry_seconds)
        self._task = asyncio.get_running_loop().create_task(work)

    async def close(self) -> None:
        """Stops; what is not done waits for the next start."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def finished(self) -> None:
        """Returns when nothing waits any more."""
        await asyncio.wait([self._task])

    async def _embed_all(self) -> None:
        await self._index.built()  # else what it is told of there could be what was before the new vector
        while await self._sql.read(awaiting.count):
            if await claiming.claim(self._sql, _CLAIM):
                async with claiming.holding(self._sql, _CLAIM):
                    await self._work()
            else:
                await asyncio.sleep(claiming.POLL_SECONDS)

    async def _work(self) -> None:
        progress = Progress(_log, "embedding anew", await self._sql.read(awaiting.count))
        _log.warning("another embedder: meanwhile passages are found by their words", passages=progress.total)
        while made := await _make(self._sql, self._embedder):
            changes = await self._keeper.write(_keep(made))
            progress.add(len(made))
            await bring(self._sql, self._index, changes)
            self._keeper.note(changes)
        _log.info("embedded anew", passages=progress.done, embedder=self._embedder.model)


async def reembed(sql: Database, embedder: Embedder) -> None:
    """The same without serving, to its end. If nothing waits, all passages are embedded anew by the same embedder.

    Raises: StoreError if the embedder fails; run again, it goes on where it was.
    """
    mine = f"{embedder.model}/{embedder.dimensions}"
    if not await use(sql, embedder) and not await sql.read(awaiting.count):
        await sql.write(lambda c: awaiting.begin(c, mine))
    progress = Progress(_log, "embedding anew", await sql.read(awaiting.count))
    try:
        while made := await _make(sql, embedder):
            await sql.write(_keep(made))
            progress.add(len(made))
    except EmbedderUnavailable as error:
        raise StoreError(
            f"{error.message}, after {progress.done} of {progress.total} passages: run reembed again"
        ) from error
    _log.info("embedded anew", passages=progress.done, embedder=mine)


async def _make(sql: Database, embedder: Embedder) -> dict[int, bytes]:
    """The next vectors by their passages' numbers; none when nothing waits. Raises: EmbedderUnavailable."""
    texts = await sql.read(lambda c: awaiting.texts(c, _BATCH))
    if not texts:
        return {}
    halves = (await _embed(embedder, list(texts.values()))).astype("<f2")
    return {n: half.tobytes() for n, half in zip(texts, halves, strict=True)}


async def _embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """One that it fails on alone has a vector of zeros: it must not hold up the others."""
    rows = await embed_apart(embedder, texts)
    if failed := sum(row is None for row in rows):
        _log.warning("the embedder fails on passages: they are found by their words alone", passages=failed)
    zeros = np.zeros(embedder.dimensions, dtype=np.float32)
    return np.stack([zeros if row is None else row for row in rows])


def _keep(made: dict[int, bytes]) -> Work[list[Change]]:
    """Stores the vectors, and notes the change for the index in the same transaction."""

    def work(connection: Connection) -> list[Change]:
        awaiting.put(connection, made)
        return outbox.add(connection, passages.c.n.in_(list(made)))

    return work
