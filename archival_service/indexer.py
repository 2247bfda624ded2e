"""Keeps the index what the SQL store says: heals it at the start, and lets go of the outbox once the index is on disk."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import structlog

from archival_service.stores import outbox
from archival_service.stores.edge import EdgeIndex
from embedders import Embedder
from servicekit.sql import Database, StoreError

_log = structlog.get_logger("indexer")
_BATCH = 500
_FLUSH_SECONDS = 2.0
# Stands in the index's directory and in the store: the same in both if they belong together.
_MARK = "belongs-to"


async def open_index(store: Database, path: Path, embedder: Embedder) -> EdgeIndex:
    """Opens the store's index and brings it up to date; a missing one is built again, without embedding anything.

    Raises: StoreError if the vectors are another embedder's, or the directory can't be opened.
    """
    await _check_embedder(store, embedder)
    mark = path / _MARK
    wanted = await store.read(lambda c: outbox.setting(c, _MARK))
    fresh = not wanted or not mark.is_file() or mark.read_text() != wanted
    index = await EdgeIndex.open(path, embedder.dimensions, fresh=fresh)
    if fresh:
        name = str(uuid.uuid4())
        await store.write(outbox.enqueue_all)
        await store.write(lambda c: outbox.set_setting(c, _MARK, name))
    await _heal(store, index)
    if fresh:
        # Written last: a build that was cut short starts over.
        mark.write_text(name)
    return index


async def _check_embedder(store: Database, embedder: Embedder) -> None:
    mine = f"{embedder.model}/{embedder.dimensions}"
    known = await store.read(lambda c: outbox.setting(c, "embedder"))
    if not known:
        await store.write(lambda c: outbox.set_setting(c, "embedder", mine))
    elif known != mine:
        raise StoreError(
            f"the vectors here are of the embedder {known}, and {mine} is configured: go back to that one "
            "(TRIPTYCH_EMBEDDER…), or run `python -m archival_service reembed`"
        )


async def _heal(store: Database, index: EdgeIndex) -> None:
    """Brings everything in the outbox to the index."""
    total, done, last = await store.read(outbox.count), 0, 0
    while numbers := await store.read(lambda c, after=last: outbox.waiting(c, after, _BATCH)):  # type: ignore[misc]
        entries = await store.read(lambda c, part=numbers: outbox.entries(c, part))  # type: ignore[misc]
        gone = set(numbers) - {entry.n for entry in entries}
        if entries:
            await index.put(entries)
        if gone:
            await index.forget(sorted(gone))
        await index.flush()
        await store.write(lambda c, part=numbers: outbox.done(c, part))  # type: ignore[misc]
        last, done = numbers[-1], done + len(numbers)
        _log.info("indexing", done=done, total=total)


class Flusher:
    """`note` what the index was told; a little later, when that is on its disk, the outbox lets go of it."""

    def __init__(self, store: Database, index: EdgeIndex) -> None:
        self._store, self._index = store, index
        self._told: list[int] = []
        self._task = asyncio.get_running_loop().create_task(self._loop())

    def note(self, numbers: list[int]) -> None:
        self._told.extend(numbers)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._flush()

    async def _loop(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        told, self._told = self._told, []
        if told:
            await self._index.flush()
            await self._store.write(lambda c: outbox.done(c, told))


async def reembed(store: Database, embedder: Embedder) -> None:
    """Makes every passage's vector anew with another embedder; the index follows at the next start."""
    total, done, last = await store.read(outbox.count_passages), 0, 0
    while texts := await store.read(lambda c, after=last: outbox.texts_after(c, after, _BATCH)):  # type: ignore[misc]
        halves = (await embedder.embed(list(texts.values()))).astype("<f2")
        vectors = {n: halves[row].tobytes() for row, n in enumerate(texts)}
        await store.write(lambda c, part=vectors: outbox.set_vectors(c, part))  # type: ignore[misc]
        last, done = max(texts), done + len(texts)
        _log.info("embedding", done=done, total=total)
    await store.write(lambda c: outbox.set_setting(c, "embedder", f"{embedder.model}/{embedder.dimensions}"))
    await store.write(lambda c: outbox.set_setting(c, _MARK, ""))
