"""Keeps the vectors of texts that were embedded lately; a text that is being embedded is not sent a second time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from embedders.protocol import Embedder, Vectors

Vector = NDArray[np.float32]


class CachedEmbedder:
    """`most_bytes`: of vectors, in memory; what was used longest ago goes first."""

    def __init__(self, inner: Embedder, most_bytes: int) -> None:
        self._inner = inner
        self._known: LRUCache[bytes, Vector] = LRUCache(most_bytes, getsizeof=lambda vector: vector.nbytes)
        self._under_way: dict[bytes, asyncio.Future[Vector]] = {}

    @property
    def model(self) -> str:
        return self._inner.model

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        found: dict[bytes, Vector] = {}
        shared: dict[bytes, asyncio.Future[Vector]] = {}
        missing: dict[bytes, str] = {}
        for key, text in zip(keys, texts, strict=True):
            if (vector := self._known.get(key)) is not None:
                found[key] = vector
            elif key in self._under_way:
                shared[key] = self._under_way[key]
            else:
                missing[key] = text
        if missing:
            # A task of its own: a caller that leaves must not take the vectors from those who wait with it.
            found.update(await asyncio.shield(self._fetch(missing)))
        for key, future in shared.items():
            found[key] = await asyncio.shield(future)
        rows = [found[key] for key in keys]
        return np.stack(rows) if rows else np.zeros((0, self.dimensions), dtype=np.float32)

    async def close(self) -> None:
        await self._inner.close()

    def _fetch(self, missing: dict[bytes, str]) -> asyncio.Task[dict[bytes, Vector]]:
        loop = asyncio.get_running_loop()
        futures = {key: loop.create_future() for key in missing}
        self._under_way.update(futures)
        task = loop.create_task(self._embed(missing))
        task.add_done_callback(lambda done: self._settle(futures, done))
        return task

    async def _embed(self, missing: dict[bytes, str]) -> dict[bytes, Vector]:
        vectors = await self._inner.embed(list(missing.values()))
        return {key: vectors[row].copy() for row, key in enumerate(missing)}

    def _settle(self, futures: dict[bytes, asyncio.Future[Vector]], done: asyncio.Task[dict[bytes, Vector]]) -> None:
        for key, future in futures.items():
            del self._under_way[key]
            if done.cancelled():
                future.cancel()
            elif (error := done.exception()) is not None:
                future.set_exception(error)
                future.exception()  # looked at, since nobody may wait
            else:
                vector = done.result()[key]
                future.set_result(vector)
                if vector.nbytes <= self._known.maxsize:
                    self._known[key] = vector
