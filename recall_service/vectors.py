"""The vectors of recently searched agents in memory, so that a search by meaning is one matrix product."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors
from recall_service.store import Store
from recall_service.stores import index
from recall_service.stores.index import Filters
from servicekit.principal import Tenant

_MOST_BYTES = 256 * 1024 * 1024
_Key = tuple[Tenant, str]


@dataclass
class Matrix:
    """Of one agent, or of one user. All arrays have one row a message; `n` is ascending."""

    n: NDArray[np.int64]
    role: NDArray[np.int32]
    created_at: NDArray[np.int64]
    conversation: list[str]
    vectors: NDArray[np.float16]

    @property
    def size(self) -> int:
        return self.vectors.nbytes + 120 * len(self.conversation)

    def nearest(self, query: Vectors, filters: Filters, most: int) -> list[tuple[int, float]]:
        """(n, cosine) of the best rows that pass the filters, best first. `query`: shape (dimensions,)."""
        if not len(self.n):
            return []
        scores = self.vectors.astype(np.float32) @ query
        scores[~self._passing(filters)] = -np.inf
        best = np.argsort(-scores, kind="stable")[:most]
        return [(int(self.n[row]), float(scores[row])) for row in best if scores[row] > 0]

    def _passing(self, filters: Filters) -> NDArray[np.bool_]:
        passing = np.ones(len(self.n), dtype=np.bool_)
        if filters.roles:
            passing &= np.isin(self.role, filters.roles)
        if filters.start is not None:
            passing &= self.created_at >= filters.start
        if filters.end is not None:
            passing &= self.created_at <= filters.end
        if filters.conversation_id:
            passing &= np.array([each == filters.conversation_id for each in self.conversation])
        return passing


class VectorCache:
    """Least recently used out first, at 256 MiB."""

    def __init__(self, store: Store, dimensions: int) -> None:
        self._store, self._dimensions = store, dimensions
        self._matrices: OrderedDict[_Key, Matrix] = OrderedDict()

    async def get(self, tenant: Tenant, agent_id: str) -> Matrix:
        """The agent's vectors (all of the user's, if empty), with those that have come since the last time."""
        key = (tenant, agent_id)
        known = self._matrices.get(key)
        last = int(known.n[-1]) if known is not None and len(known.n) else 0
        rows = await self._store.read(lambda c: index.vectors_after(c, tenant, agent_id, last))
        matrix = _joined(known, _matrix(rows, self._dimensions)) if rows or known is None else known
        self._matrices[key] = matrix
        self._matrices.move_to_end(key)
        while len(self._matrices) > 1 and sum(each.size for each in self._matrices.values()) > _MOST_BYTES:
            self._matrices.popitem(last=False)
        return matrix

    def forget(self, tenant: Tenant) -> None:
        """Drops what is known of a user: some of it was changed or purged."""
        for key in [key for key in self._matrices if key[0] == tenant]:
            del self._matrices[key]

    def late(self, n: int) -> None:
        """A vector of number `n` has come: who has later ones would not look for it any more."""
        for key, matrix in list(self._matrices.items()):
            if len(matrix.n) and matrix.n[-1] >= n:
                del self._matrices[key]


def _matrix(rows: index.VectorRows, dimensions: int) -> Matrix:
    raw = b"".join(row.vector for row in rows)
    return Matrix(
        n=np.array([row.n for row in rows], dtype=np.int64),
        role=np.array([row.role for row in rows], dtype=np.int32),
        created_at=np.array([row.created_at for row in rows], dtype=np.int64),
        conversation=[row.conversation_id for row in rows],
        vectors=np.frombuffer(raw, dtype="<f2").reshape(len(rows), dimensions),
    )


def _joined(first: Matrix | None, second: Matrix) -> Matrix:
    if first is None:
        return second
    return Matrix(
        n=np.concatenate([first.n, second.n]),
        role=np.concatenate([first.role, second.role]),
        created_at=np.concatenate([first.created_at, second.created_at]),
        conversation=first.conversation + second.conversation,
        vectors=np.concatenate([first.vectors, second.vectors]),
    )
