"""Opens both sides of a store, and brings the index up to date; a missing, damaged or strange one is built anew.

The service waits for that before it serves, with progress in the log: the vectors are kept in SQL, so it costs no
embedding (about 20,000 passages a second), and a search never answers from half an index.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from archival_service import keeper
from archival_service.stores import outbox, vectors
from archival_service.stores.edge import EdgeIndex, IndexUnusable
from embedders import Embedder, EmbedderUnavailable
from servicekit.sql import Database, StoreError, hold, open_database
from triptych.errors import Unavailable

_log = structlog.get_logger("opening")
_MIGRATIONS = "archival_service:migrations"
_EMBEDDER = "embedder"
_UNFINISHED = "unfinished"
# A name that stands in the store and in the index's directory: the same in both if they belong together.
_MARK = "belongs-to"
_SHARD = "shard"
_REEMBED_BATCH = 64


def open_sql(dsn: str) -> Database:
    """Opens and migrates the SQL side. Raises: StoreError."""
    return open_database(dsn, _MIGRATIONS)


async def open_index(sql: Database, folder: Path, embedder: Embedder, stack: AsyncExitStack) -> EdgeIndex:
    """The index in `folder`, which has all that the store has; the stack closes it.

    Raises: StoreError if another process has it, if it can't be built, or if the vectors are another embedder's.
    """
    await _check_embedder(sql, embedder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stack.callback(os.close, hold(_lock_of(folder)))
        index = await _open_known(sql, folder, embedder.dimensions)
        if index is None:
            index = await _build(sql, folder, embedder.dimensions)
    except (IndexUnusable, Unavailable, OSError) as error:
        cause = error.__cause__ if isinstance(error, Unavailable) else error
        raise StoreError(f"the index in {folder} can't be built: {cause}") from error
    stack.push_async_callback(index.close)
    return index


def discard_index(folder: Path) -> None:
    """Deletes it; the next start builds it anew. Raises: StoreError if a process has it."""
    folder = folder.expanduser()
    if not folder.exists():
        return
    handle = hold(_lock_of(folder))
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"the index in {folder} can't be deleted: {error}") from error
    finally:
        os.close(handle)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


async def _open_known(sql: Database, folder: Path, dimensions: int) -> EdgeIndex | None:
    """The index as it was left, healed; None if there is none that can be trusted."""
    wanted = await sql.read(lambda c: vectors.setting(c, _MARK))
    mark = folder / _MARK
    if not (wanted and mark.is_file() and mark.read_text() == wanted):
        return None
    try:
        index = await EdgeIndex.open(folder / _SHARD, dimensions)
    except IndexUnusable as error:
        _log.warning("the index is damaged: it is built anew", error=str(error))
        return None
    try:
        await keeper.heal(sql, index)
        has, should = await index.count(), await sql.read(vectors.count)
    except Unavailable as error:
        _log.warning("the index is damaged: it is built anew", error=str(error.__cause__))
        has, should = -1, 0
    if has == should:
        return index
    if has >= 0:
        _log.warning("the index has not what the store has: it is built anew", has=has, should=should)
    await index.close()
    return None


async def _build(sql: Database, folder: Path, dimensions: int) -> EdgeIndex:
    """A new index of all passages. Its mark is written last: a build that was cut short starts over."""
    (folder / _MARK).unlink(missing_ok=True)
    index = await EdgeIndex.create(folder / _SHARD, dimensions)
    name = str(uuid.uuid4())
    await sql.write(outbox.enqueue_all)
    await sql.write(lambda c: vectors.set_setting(c, _MARK, name))
    try:
        await keeper.heal(sql, index)
    except BaseException:
        await index.close()
        raise
    (folder / _MARK).write_text(name)
    return index


async def _check_embedder(sql: Database, embedder: Embedder) -> None:
    mine = _name(embedder)
    known = await sql.read(lambda c: vectors.setting(c, _EMBEDDER))
    if not known:
        await sql.write(lambda c: vectors.set_setting(c, _EMBEDDER, mine))
    elif known == _UNFINISHED:
        raise StoreError("a reembed was cut short: run `python -m archival_service reembed` again")
    elif known != mine:
        raise StoreError(
            f"the vectors here are of the embedder {known}, and {mine} is configured: go back to that one "
            "(TRIPTYCH_EMBEDDER…), or run `python -m archival_service reembed`"
        )


async def reembed(sql: Database, embedder: Embedder) -> None:
    """Makes every passage's vector anew; the index is built from them at the next start.

    Raises: StoreError if the embedder fails; then it has to be run again.
    """
    total, done, last = await sql.read(vectors.count), 0, 0
    # Until it is finished the vectors are of two embedders, and the service must not start on them.
    await sql.write(lambda c: vectors.set_setting(c, _EMBEDDER, _UNFINISHED))
    await sql.write(lambda c: vectors.set_setting(c, _MARK, ""))
    while texts := await _texts_after(sql, last):
        try:
            halves = (await embedder.embed(list(texts.values()))).astype("<f2")
        except EmbedderUnavailable as error:
            raise StoreError(f"{error.message}, after {done} of {total} passages: run reembed again") from error
        made = {n: half.tobytes() for n, half in zip(texts, halves, strict=True)}
        await _replace(sql, made)
        last, done = max(texts), done + len(texts)
        _log.info("embedding", done=done, total=total)
    await sql.write(lambda c: vectors.set_setting(c, _EMBEDDER, _name(embedder)))
    _log.info("embedded", passages=done, embedder=_name(embedder))


async def _texts_after(sql: Database, n: int) -> dict[int, str]:
    return await sql.read(lambda c: vectors.texts_after(c, n, _REEMBED_BATCH))


async def _replace(sql: Database, halves: dict[int, bytes]) -> None:
    await sql.write(lambda c: vectors.replace(c, halves))


def _name(embedder: Embedder) -> str:
    return f"{embedder.model}/{embedder.dimensions}"
