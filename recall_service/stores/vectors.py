"""The vectors of recently searched agents in memory, so that a search by meaning is one matrix product."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors
from recall_service.store import ALL_ROLES, Filters, Found
from recall_service.stores import pending
from recall_service.stores.pending import VectorRows
from servicekit.principal import Tenant
from servicekit.sql import Database

_MOST_BYTES = 256 * 1024 * 1024
# More rows than this are searched in a thread: the loop must not stand still for longer than about a millisecond.
_INLINE_ROWS = 4_000
_Key = tuple[Tenant, str]
_ANYTHING = Filters()


@dataclass
class Matrix:
    """Of one agent, or of one user. All arrays have one row a message; `n` is ascending."""

    n: NDArray[np.int64]
    role: NDArray[np.int32]
    created_at: NDArray[np.int64]
    conversation: NDArray[np.str_]
    vectors: Vectors

    @property
    def last(self) -> int:
        return int(self.n[-1]) if len(self.n) else 0

    @property
    def size_bytes(self) -> int:
        return self.vectors.nbytes + self.conversation.nbytes + 20 * len(self.n)

    def nearest(self, query: Vectors, filters: Filters, most: int) -> list[Found]:
        """The best rows that pass the filters by cosine, best first. `query`: shape (dimensions,)."""
        if not len(self.n):
            return []
        scores = np.where(self._passing(filters), self.vectors @ query, 0.0)
        best = np.flatnonzero(scores > 0)
        if len(scores) > most:
            best = np.argpartition(scores, len(scores) - most)[-most:]
        order = best[np.lexsort((-best, -scores[best]))]
        return [Found(int(self.n[at]), float(scores[at])) for at in order if scores[at] > 0]

    def _passing(self, filters: Filters) -> NDArray[np.bool_]:
        allowed = np.zeros(max(ALL_ROLES) + 1, dtype=np.bool_)
        allowed[list(filters.roles)] = True
        passing: NDArray[np.bool_] = allowed[self.role]
        if (filters.start, filters.end) != (_ANYTHING.start, _ANYTHING.end):
            passing &= (self.created_at >= filters.start) & (self.created_at <= filters.end)
        if filters.scope.conversation_id:
            passing &= self.conversation == filters.scope.conversation_id
        return passing

    def joined(self, later: Matrix) -> Matrix:
        """This one with the rows of `later` behind its own."""
        if not len(self.n) or not len(later.n):
            return later if len(later.n) else self
        return Matrix(
            n=np.concatenate([self.n, later.n]),
            role=np.concatenate([self.role, later.role]),
            created_at=np.concatenate([self.created_at, later.created_at]),
            conversation=np.concatenate([self.conversation, later.conversation]),
            vectors=np.concatenate([self.vectors, later.vectors]),
        )


class VectorCache:
    """Least recently used out first, at 256 MiB. Every change to stored vectors must be told to it after its commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._matrices: OrderedDict[_Key, Matrix] = OrderedDict()
        self._changes = 0

    async def nearest(self, tenant: Tenant, vector: Vectors, filters: Filters, most: int) -> list[Found]:
        matrix = await self._matrix(tenant, filters.scope.agent_id)
        if len(matrix.n) <= _INLINE_ROWS:
            return matrix.nearest(vector, filters, most)
        return await asyncio.to_thread(matrix.nearest, vector, filters, most)

    def forget(self, tenant: Tenant) -> None:
        """Some of the user's vectors were changed or purged."""
        self._changes += 1
        for key in [key for key in self._matrices if key[0] == tenant]:
            del self._matrices[key]

    def came(self, first: int) -> None:
        """Vectors came, the lowest of number `first`: who has later ones would not look for it any more."""
        self._changes += 1
        for key in [key for key, matrix in self._matrices.items() if matrix.last >= first]:
            del self._matrices[key]

    async def _matrix(self, tenant: Tenant, agent_id: str) -> Matrix:
        """The agent's vectors (all of the user's, if empty): what is known, and what has come since."""
        key = (tenant, agent_id)
        known = self._matrices.get(key)
        after = known.last if known else 0
        changes = self._changes
        new = _matrix(await self._database.read(lambda c: pending.vectors_since(c, tenant, agent_id, after)))
        matrix = known.joined(new) if known else new
        if changes == self._changes:  # else what was read may be out of date: good for this search, not to be kept
            self._matrices[key] = matrix
            self._matrices.move_to_end(key)
            self._evict()
        return matrix

    def _evict(self) -> None:
        while len(self._matrices) > 1 and sum(each.size_bytes for each in self._matrices.values()) > _MOST_BYTES:
            self._matrices.popitem(last=False)


def _matrix(rows: VectorRows) -> Matrix:
    raw = b"".join(row.vector for row in rows)
    return Matrix(
        n=np.array([row.n for row in rows], dtype=np.int64),
        role=np.array([row.role for row in rows], dtype=np.int32),
        created_at=np.array([row.created_at for row in rows], dtype=np.int64),
        conversation=np.array([row.conversation_id for row in rows], dtype=np.str_),
        vectors=np.frombuffer(raw, dtype="<f2").reshape(len(rows), -1 if rows else 0).astype(np.float32),
    )
