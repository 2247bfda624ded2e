"""Embeds messages behind the append: from the outbox, in batches, as long as there are any."""

from __future__ import annotations

import asyncio

import structlog

from embedders import Embedder
from recall_service.store import Store
from recall_service.stores import index
from recall_service.vectors import VectorCache
from triptych.errors import TriptychError
from triptych.recall.v1.recall_pb2 import Message

_log = structlog.get_logger("embedding")
_BATCH = 64
# Messages of one moment are embedded together, and not while their turn is still being answered.
_GATHER_SECONDS = 0.1
_RETRY_SECONDS = 5.0


class EmbeddingWorker:
    """`wake` it after each append; what an earlier process has left is taken up at the start."""

    def __init__(self, store: Store, embedder: Embedder, cache: VectorCache) -> None:
        self._store, self._embedder, self._cache = store, embedder, cache
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._wanted.set()
        self._task = asyncio.get_running_loop().create_task(self._loop())

    def wake(self) -> None:
        self._wanted.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._wanted.clear()
            try:
                await self._embed_all()
            except TriptychError as error:
                _log.warning("messages wait to be embedded", reason=error.reason_name)
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wanted.set)

    async def _embed_all(self) -> None:
        while waiting := await self._store.read(lambda c: index.next_pending(c, _BATCH)):
            await self._embed(waiting)

    async def _embed(self, waiting: dict[int, Message]) -> None:
        vectors = await self._embedder.embed([message.text for message in waiting.values()])
        halves = vectors.astype("<f2")
        embedded = {n: (message.revision, halves[row].tobytes()) for row, (n, message) in enumerate(waiting.items())}
        await self._store.write(lambda c: index.store_vectors(c, embedded))
        self._cache.late(min(embedded))
