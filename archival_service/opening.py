"""Opens both sides of a store, and brings the index up to date; a missing, damaged or strange one is built anew.

That goes on while the service serves (see `rebuilding`), and costs no embedding: the vectors are kept in SQL.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from sqlalchemy import Connection

from archival_service import keeper, reembedding
from archival_service.promoting import Promoter
from archival_service.rebuilding import Rebuilding
from archival_service.store import PassageIndex
from archival_service.stores import outbox, spans, vectors
from archival_service.stores.edge import EdgeIndex, IndexUnusable
from embedders import Embedder
from servicekit.sql import Database, StoreError, hold, open_database
from triptych.errors import Unavailable

_log = structlog.get_logger("opening")
_MIGRATIONS = "archival_service:migrations"


def open_sql(dsn: str) -> Database:
    """Opens and migrates the SQL side. Raises: StoreError."""
    return open_database(dsn, _MIGRATIONS)


async def open_index(sql: Database, folder: Path, embedder: Embedder, stack: AsyncExitStack) -> PassageIndex:
    """The index in `folder`, which finds all that the store has; the stack closes it.

    Its vectors may be another embedder's: then it is built anew of words, and the vectors follow (see `reembedding`).
    Raises: StoreError if another process has it, or if it can't be made.
    """
    await reembedding.use(sql, embedder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stack.callback(os.close, hold(_lock_of(folder)))
        edge = await _open_known(sql, folder, embedder.dimensions) or await _begin(sql, folder, embedder.dimensions)
    except (IndexUnusable, Unavailable, OSError) as error:
        cause = error.__cause__ if isinstance(error, Unavailable) else error
        raise StoreError(f"the index in {folder} can't be built: {cause}") from error
    left = await sql.read(lambda c: spans.left(c, spans.REBUILD))
    index: PassageIndex = Rebuilding(sql, edge) if left else edge
    stack.push_async_callback(index.close)
    stack.push_async_callback(Promoter(sql, edge, index.built).close)
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
    wanted = await sql.read(lambda c: vectors.setting(c, vectors.MARK))
    mark = folder / vectors.MARK
    if not (wanted and mark.is_file() and mark.read_text() == wanted):
        return None
    try:
        index = await EdgeIndex.open(folder, dimensions)
    except IndexUnusable as error:
        _log.warning("the index can't be opened: it is built anew", error=str(error))
        return None
    try:
        await keeper.heal(sql, index)
        if await sql.read(lambda c: spans.left(c, spans.REBUILD)):
            return index
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


async def _begin(sql: Database, folder: Path, dimensions: int) -> EdgeIndex:
    """An empty index, which has to be told of all passages."""
    mark = folder / vectors.MARK
    mark.unlink(missing_ok=True)
    index = await EdgeIndex.create(folder, dimensions)
    name = str(uuid.uuid4())
    await sql.write(lambda c: _begin_anew(c, name))
    mark.write_text(name)
    return index


def _begin_anew(connection: Connection, name: str) -> None:
    outbox.clear(connection)
    spans.begin(connection, spans.REBUILD)
    vectors.set_mark(connection, name)
