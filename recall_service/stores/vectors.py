"""The vectors of recently searched agents in memory, and never behind what is stored."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from embedders import Vectors
from recall_service.places import Places
from recall_service.store import Filters, Found
from recall_service.stores import pending
from recall_service.stores.matrix import Matrix
from servicekit.principal import Tenant
from servicekit.sql import Database

_MOST_BYTES = 256 * 1024 * 1024
# More rows than this are searched, or taken in, in a thread: the loop must not stand still for over a millisecond.
_INLINE_ROWS = 4_000
_INLINE_NEW_ROWS = 100
# So many are read at once: what else is read goes on between.
_ROWS_AT_ONCE = 5_000
_Key = tuple[Tenant, str]


class VectorCache:
    """Least recently used out first, at 256 MiB. Every change to stored vectors must be told to it after its commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._matrices: OrderedDict[_Key, Matrix] = OrderedDict()
        # As of which change each is complete.
        self._complete: dict[_Key, int] = {}
        self._changes = 0
        # What is being read, and as of which change.
        self._reading: dict[_Key, tuple[int, asyncio.Task[Matrix]]] = {}

    async def nearest(self, tenant: Tenant, vector: Vectors, filters: Filters, most: int) -> list[Found]:
        matrix = await self._matrix((tenant, filters.scope.agent_id))
        if len(matrix) <= _INLINE_ROWS:
            return matrix.nearest(vector, filters, most)
        return await asyncio.to_thread(matrix.nearest, vector, filters, most)

    def places(self, tenant: Tenant, agent_id: str, numbers: Sequence[int]) -> Places | None:
        """If all are in memory."""
        matrix = self._matrices.get((tenant, agent_id))
        return matrix.places(numbers) if matrix is not None else None

    def forget(self, tenant: Tenant) -> None:
        """Some of the user's vectors were changed or purged."""
        self._changes += 1
        for key in [key for key in self._matrices if key[0] == tenant]:
            del self._matrices[key], self._complete[key]

    def came(self, first: int) -> None:
        """Vectors came, the lowest of number `first`: who has later ones would not look for it any more."""
        self._changes += 1
        for key in [key for key, matrix in self._matrices.items() if matrix.last >= first]:
            del self._matrices[key], self._complete[key]

    async def _matrix(self, key: _Key) -> Matrix:
        """The agent's vectors (all of the user's, if the agent is empty)."""
        known = self._matrices.get(key)
        if known is not None and self._complete[key] == self._changes:
            self._matrices.move_to_end(key)
            return known
        changes, reading = self._reading.get(key, (-1, None))
        if reading is None or changes != self._changes:
            reading = asyncio.get_running_loop().create_task(self._read(key, known, self._changes))
            self._reading[key] = (self._changes, reading)
            reading.add_done_callback(lambda done: self._has_read(key, done))
        # Shielded: a search that runs out of patience leaves what it began to the next one.
        return await asyncio.shield(reading)

    async def _read(self, key: _Key, known: Matrix | None, changes: int) -> Matrix:
        """What is known, and what has come since."""
        matrix = known or Matrix()
        complete = False
        while not complete:
            after = matrix.last
            rows = await self._database.read(lambda c: pending.vectors_since(c, *key, after, _ROWS_AT_ONCE))  # noqa: B023
            inline = len(rows) <= _INLINE_NEW_ROWS
            matrix = matrix.grown(rows) if inline else await asyncio.to_thread(matrix.grown, rows)
            complete = len(rows) < _ROWS_AT_ONCE
        if len(matrix) > _INLINE_ROWS:
            await asyncio.to_thread(matrix.prepare)
        if changes == self._changes:  # else what was read may be out of date: good for this search, not to be kept
            self._matrices[key], self._complete[key] = matrix, changes
            self._matrices.move_to_end(key)
            self._evict()
        return matrix

    def _has_read(self, key: _Key, done: asyncio.Task[Matrix]) -> None:
        if self._reading.get(key, (0, None))[1] is done:
            del self._reading[key]
        if not done.cancelled():
            done.exception()  # looked at, since whoever asked may be gone

    def _evict(self) -> None:
        while len(self._matrices) > 1 and sum(each.size_bytes for each in self._matrices.values()) > _MOST_BYTES:
            key, _ = self._matrices.popitem(last=False)
            del self._complete[key]
