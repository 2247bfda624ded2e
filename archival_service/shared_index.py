"""Opens the index on a Qdrant server, which all replicas of the service share, and builds it where it is not there.

A collection belongs to the store whose mark is in its name. So a first start, a move from Qdrant Edge, other settings
and a collection that was lost are one thing: a new mark, a new collection, filled from SQL without embedding anything
again. One replica fills it, while all of them serve (see `rebuilding`); the old collection goes when the new one is
whole.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack
from functools import partial

import grpc
import numpy as np
import structlog
from qdrant_client import AsyncQdrantClient
from sqlalchemy import Connection

from archival_service import claiming, reembedding
from archival_service.keeper import heal
from archival_service.qdrant_settings import QdrantSettings
from archival_service.rebuilding import Rebuilding
from archival_service.store import Filters, PassageIndex
from archival_service.stores import outbox, points, qdrant_set_up, spans, vectors
from archival_service.stores.qdrant import QdrantIndex, answer
from embedders import Embedder
from servicekit.principal import Tenant
from servicekit.sql import Database, StoreError
from triptych.errors import Unavailable

_log = structlog.get_logger("shared_index")
_BUILDING = "building-until"
_SAMPLE = 50
_THE_SAME = 0.99


async def open_shared(
    sql: Database, settings: QdrantSettings, embedder: Embedder, stack: AsyncExitStack
) -> PassageIndex:
    """The index, which finds all that the store has; the stack closes it. Raises: StoreError."""
    await reembedding.use(sql, embedder)
    client = qdrant_set_up.connect(settings)
    stack.push_async_callback(client.close)
    drop_replaced = partial(_drop_replaced, sql, client, settings)
    try:
        index = await _open(sql, client, settings, embedder.dimensions)
        if not await sql.read(lambda c: spans.left(c, spans.REBUILD)):
            await drop_replaced()
            return index
    except Unavailable as error:
        cause = error.__cause__
        problem = cause.details() if isinstance(cause, grpc.aio.AioRpcError) else cause or error.message
        raise StoreError(f"the Qdrant server at {settings.url} does not serve: {problem}") from error
    building = Rebuilding(sql, index, claim=_BUILDING, then=drop_replaced)
    stack.push_async_callback(building.close)
    return building


async def verify(sql: Database, index: PassageIndex) -> int:
    """That the index has as many passages as the store, and finds a sample of them by their own vectors.

    Gives how many there are. Raises: StoreError.
    """
    has, should = await index.count(), await sql.read(vectors.count)
    if has != should:
        raise StoreError(f"the index has {has:,} passages and the store {should:,}: run the command again")
    some = await sql.read(lambda c: outbox.sample(c, _SAMPLE))
    for entry, dense in zip(some, points.dense(some), strict=True):
        tenant, asked = Tenant(entry.account_id, entry.user_id), Filters(archive_ids=(entry.archive_id,))
        vector = np.array(dense, dtype=np.float32)
        near, _ = await index.candidates(tenant, asked, 10, vector=vector, words="")
        # Ten others that say the same are no worse.
        if entry.n not in {found.n for found in near} and not (near and near[-1].score > _THE_SAME):
            raise StoreError("the index does not find a passage by its own vector: run the command again")
    return should


async def _open(sql: Database, client: AsyncQdrantClient, settings: QdrantSettings, dimensions: int) -> QdrantIndex:
    while True:
        mark = await sql.read(lambda c: vectors.setting(c, vectors.MARK))
        index = await _known(sql, client, settings, mark, dimensions) if mark else None
        if index is not None:
            return index
        if await claiming.claim(sql, _BUILDING):
            async with claiming.holding(sql, _BUILDING):
                if await sql.read(lambda c: vectors.setting(c, vectors.MARK)) == mark:
                    return await _begin(sql, client, settings, dimensions)
        else:
            _log.info("another replica begins the index: waiting for it")
            await asyncio.sleep(claiming.POLL_SECONDS)


async def _known(
    sql: Database, client: AsyncQdrantClient, settings: QdrantSettings, mark: str, dimensions: int
) -> QdrantIndex | None:
    """The collection of that mark, if it is there, and made as it would be made now."""
    name = _name(settings, mark)
    if not await answer(client.collection_exists(name)):
        return None
    different = qdrant_set_up.mismatch(settings, await answer(client.get_collection(name)), dimensions)
    # Its shard keys are nothing that a collection says of itself.
    if not different and await sql.read(lambda c: vectors.setting(c, vectors.PROMOTED)) != _promoted(settings):
        different = "other owners are promoted"
    if different:
        _log.warning("the collection was made otherwise: it is built anew", collection=name, different=different)
        return None
    index = QdrantIndex(client, settings, name)
    await heal(sql, index)
    return index


async def _begin(sql: Database, client: AsyncQdrantClient, settings: QdrantSettings, dimensions: int) -> QdrantIndex:
    """A new collection, which has to be told of all passages. It is the store's from here on."""
    await _drop_replaced(sql, client, settings)
    mark = str(uuid.uuid4())
    name = _name(settings, mark)
    await answer(qdrant_set_up.create(client, settings, name, dimensions))
    await sql.write(lambda c: _begin_anew(c, mark, _promoted(settings)))
    _log.info("made a collection", collection=name)
    return QdrantIndex(client, settings, name)


def _promoted(settings: QdrantSettings) -> str:
    return ",".join(sorted(set(settings.promoted)))


def _begin_anew(connection: Connection, mark: str, promoted: str) -> None:
    outbox.clear(connection)
    vectors.set_setting(connection, vectors.PROMOTED, promoted)
    spans.begin(connection, spans.REBUILD)
    vectors.set_mark(connection, mark)


async def _drop_replaced(sql: Database, client: AsyncQdrantClient, settings: QdrantSettings) -> None:
    """Deletes the collection that another has taken the place of. The old mark may be of an index of Qdrant Edge."""
    old = await sql.read(lambda c: vectors.setting(c, vectors.REPLACED))
    if not old:
        return
    name = _name(settings, old)
    if await answer(client.collection_exists(name)):
        await answer(client.delete_collection(name))
    await sql.write(lambda c: vectors.set_setting(c, vectors.REPLACED, ""))


def _name(settings: QdrantSettings, mark: str) -> str:
    return f"{settings.prefix}-{mark}"
