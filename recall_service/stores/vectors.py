"""The vectors of recently searched agents in memory, and never behind what is stored."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from recall_service.places import Places
from recall_service.store import Waiting
from recall_service.stores import pending
from recall_service.stores.matrix import Matrix
from servicekit.principal import Tenant
from servicekit.sql import Database

_MOST_BYTES = 256 * 1024 * 1024
# More rows than this are taken in in a thread: the loop must not stand still for over a millisecond.
_INLINE_ROWS = 100
# So many are read at once: what else is read goes on between.
_ROWS_AT_ONCE = 5_000
# Above every number.
_NONE = 2**63
_Key = tuple[Tenant, str]


class _Reading:
    """What is being read of a key. `as_of`: the change as of which it will be complete."""

    def __init__(self, as_of: int) -> None:
        self.as_of = as_of
        self.lowest_came = _NONE
        self.kept = True
        self.task: asyncio.Task[Matrix] | None = None


class VectorCache:
    """Least recently used out first, at 256 MiB. Every change to stored vectors must be told to it after its commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._matrices: OrderedDict[_Key, Matrix] = OrderedDict()
        # Of all of them: there may be a hundred thousand, and one comes with each user's first search.
        self._size_bytes = 0
        # As of which change each is complete, and which was the last to what is known, or being read, of a key.
        self._complete: dict[_Key, int] = {}
        self._changed: dict[_Key, int] = {}
        self._changes = 0
        self._readings: dict[_Key, _Reading] = {}

    async def matrix(self, tenant: Tenant, agent_id: str) -> Matrix:
        """The agent's vectors (all of the user's, if the agent is empty), with all that had come before the call."""
        key = (tenant, agent_id)
        wanted = self._changed.get(key, 0)
        while True:
            known = self._matrices.get(key)
            if known is not None and self._complete[key] >= wanted:
                self._matrices.move_to_end(key)
                return known
            reading = self._readings.get(key) or self._begin(key)
            assert reading.task is not None
            # Shielded: a search that runs out of patience leaves what it began to the next one.
            matrix = await asyncio.shield(reading.task)
            if reading.as_of >= wanted:
                return matrix

    def places(self, tenant: Tenant, agent_id: str, numbers: Sequence[int]) -> Places | None:
        """If all are in memory."""
        matrix = self._matrices.get((tenant, agent_id))
        return matrix.places(numbers) if matrix is not None else None

    def forget(self, tenant: Tenant) -> None:
        """Some of the user's vectors were changed or purged."""
        self._forget({key for key in (*self._matrices, *self._readings) if key[0] == tenant})

    def forget_all(self) -> None:
        """All vectors went."""
        self._forget({*self._matrices, *self._readings})

    def came(self, embedded: Sequence[Waiting]) -> None:
        """Vectors came. Who has later ones than the first of theirs would not look for it any more."""
        self._changes += 1
        firsts: dict[_Key, int] = {}
        for each in embedded:
            for key in ((each.tenant, each.agent_id), (each.tenant, "")):
                firsts[key] = min(each.n, firsts.get(key, each.n))
        for key, first in firsts.items():
            if key in self._matrices or key in self._readings:
                self._changed[key] = self._changes
            if key in self._matrices and self._matrices[key].last >= first:
                self._drop([key])
            if key in self._readings:
                self._readings[key].lowest_came = min(self._readings[key].lowest_came, first)

    def _begin(self, key: _Key) -> _Reading:
        reading = self._readings[key] = _Reading(self._changes)
        reading.task = asyncio.get_running_loop().create_task(self._read(key, reading))
        reading.task.add_done_callback(lambda done: self._ended(key, done))
        return reading

    async def _read(self, key: _Key, reading: _Reading) -> Matrix:
        """What is known, and what has come since."""
        matrix, complete = self._matrices.get(key) or Matrix(), False
        while not complete:
            after, reading.lowest_came = matrix.last, _NONE
            rows = await self._database.read(lambda c: pending.vectors_since(c, *key, after, _ROWS_AT_ONCE))  # noqa: B023
            complete = len(rows) < _ROWS_AT_ONCE
            # What came meanwhile may be in these rows, or not: from there on they are read once more.
            came = reading.lowest_came
            if reading.kept and rows and after < came <= rows[-1][0]:
                rows, complete = [row for row in rows if row[0] < came], False
            inline = len(rows) <= _INLINE_ROWS
            matrix = matrix.grown(rows) if inline else await asyncio.to_thread(matrix.grown, rows)
            # One that came among those that were read before is not there: good for this search, not to be kept.
            reading.kept = reading.kept and reading.lowest_came > matrix.last
        if reading.kept and reading.lowest_came > matrix.last:
            self._keep(key, matrix, reading.as_of)
        return matrix

    def _keep(self, key: _Key, matrix: Matrix, as_of: int) -> None:
        if (before := self._matrices.pop(key, None)) is not None:
            self._size_bytes -= before.size_bytes
        self._matrices[key], self._complete[key] = matrix, as_of
        self._size_bytes += matrix.size_bytes
        while len(self._matrices) > 1 and self._size_bytes > _MOST_BYTES:
            self._drop([next(iter(self._matrices))])

    def _ended(self, key: _Key, done: asyncio.Task[Matrix]) -> None:
        del self._readings[key]
        if key not in self._matrices:
            self._changed.pop(key, None)
        if not done.cancelled():
            done.exception()  # looked at, since whoever asked may be gone

    def _forget(self, keys: Iterable[_Key]) -> None:
        self._changes += 1
        self._drop([key for key in keys if key in self._matrices])
        for key in keys:
            if key in self._readings:
                self._readings[key].kept = False
                self._changed[key] = self._changes

    def _drop(self, keys: Sequence[_Key]) -> None:
        for key in keys:
            self._size_bytes -= self._matrices.pop(key).size_bytes
            del self._complete[key]
            if key not in self._readings:
                self._changed.pop(key, None)
