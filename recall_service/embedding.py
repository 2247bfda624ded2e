"""Embeds messages behind the append: from the outbox, in batches, as long as there are any."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import structlog

from embedders import Embedder, LocalEmbedder
from embedders.apart import embed_apart
from recall_service.postponed import Postponed
from recall_service.store import RecallStore, Waiting
from servicekit.background import went_well

_log = structlog.get_logger("embedding")
_BATCH = 64
# Messages of one moment are embedded together, and not while their turn is still being answered.
_GATHER_SECONDS = 0.1
_RETRY_SECONDS = 5.0
_LOOK_SECONDS = 60.0
# While others are appended, an embedder that computes here rests for so many times as long as it worked: they must not
# wait for it. But not if a message has waited for longer: there may be no end to the appends.
_RESTS, _PATIENT_SECONDS = 3.0, 30.0
# While messages wait, the log says so often how many, and since when.
_TELL_SECONDS = 30.0


class EmbeddingWorker:
    """`wake` it after each append; what an earlier process has left is taken up at the start."""

    def __init__(
        self,
        store: RecallStore,
        embedder: Embedder,
        *,
        retry_seconds: float = _RETRY_SECONDS,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._store, self._embedder = store, embedder
        self._retry_seconds, self._look_seconds = retry_seconds, look_seconds
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._told = float("-inf")
        self._postponed = Postponed(retry_seconds)

    def start(self) -> None:
        self._wanted.set()
        self._task = asyncio.get_running_loop().create_task(self._loop())

    def wake(self) -> None:
        self._wanted.set()

    async def close(self) -> None:
        """Stops; what is not embedded yet stays in the outbox."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _loop(self) -> None:
        while True:
            await self._until_wanted()
            await asyncio.sleep(_GATHER_SECONDS)
            self._wanted.clear()
            if not await went_well(self._embed_all(), "messages wait to be embedded"):
                await self._rest()

    async def _until_wanted(self) -> None:
        """Returns when it was woken, when what was postponed is due, and now and then: another replica may have died
        with what it had claimed."""
        try:
            async with asyncio.timeout(min(self._look_seconds, self._postponed.soonest())):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _rest(self) -> None:
        """Whatever is appended meanwhile: what has just failed is not tried with each append."""
        await asyncio.sleep(self._retry_seconds)
        self._wanted.set()

    async def _embed_all(self) -> None:
        while waiting := self._postponed.due(await self._store.waiting(_BATCH + len(self._postponed))):
            await self._tell_lag()
            self._wanted.clear()
            began = time.monotonic()
            await self._embed(waiting)
            has_waited = time.time() - waiting[0].since / 1e6
            if isinstance(self._embedder, LocalEmbedder) and self._wanted.is_set() and has_waited < _PATIENT_SECONDS:
                await asyncio.sleep(_RESTS * (time.monotonic() - began))

    async def _tell_lag(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told < _TELL_SECONDS:
            return
        self._told = now
        lag = await self._store.lag()
        _log.info("embedding lag", waiting=lag.waiting, oldest_seconds=round(lag.seconds(time.time()), 1))

    async def _embed(self, waiting: Sequence[Waiting]) -> None:
        rows = await embed_apart(self._embedder, [each.text for each in waiting])
        done = [(each, row) for each, row in zip(waiting, rows, strict=True) if row is not None]
        if done:
            embedded = [each for each, _ in done]
            await self._store.put_vectors(embedded, np.stack([row for _, row in done]))
            self._postponed.forget(embedded)
        for each, row in zip(waiting, rows, strict=True):
            if row is None:
                seconds = self._postponed.add(each)
                _log.warning("a message can't be embedded, and is found by its words meanwhile", again_in=seconds)
