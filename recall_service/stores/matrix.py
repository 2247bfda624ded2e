"""One agent's, or one user's, vectors and places in memory, so that a search by meaning is one matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors
from recall_service.store import ALL_ROLES, Filters, Found, Place
from recall_service.stores.pending import VectorRows
from recall_service.stores.rough import Rough

# From so many rows on a rough look comes first: a product with all of the numbers would take longer than a search may.
_MANY = 8_000
# So many of the best at a rough look, for each one wanted, are compared exactly.
_FOR_EACH = 5
_ANYTHING = Filters()


class Codes:
    """Texts as small numbers, so that an array can hold them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._codes: dict[str, int] = {}

    def of(self, texts: Sequence[str]) -> NDArray[np.int32]:
        return np.array([self._code(text) for text in texts], dtype=np.int32)

    def known(self, text: str) -> int:
        """-1 if it is not."""
        return self._codes.get(text, -1)

    def _code(self, text: str) -> int:
        code = self._codes.setdefault(text, len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
        return code


@dataclass
class Matrix:
    """All arrays have one row a message; `n` is ascending. `conversation` and `name` are codes."""

    n: NDArray[np.int64]
    role: NDArray[np.int32]
    created_at: NDArray[np.int64]
    sequence: NDArray[np.int64]
    conversation: NDArray[np.int32]
    name: NDArray[np.int32]
    vectors: NDArray[np.float16]
    conversations: Codes
    names: Codes
    _rough: Rough | None = field(default=None, repr=False)

    @classmethod
    def of(cls, rows: VectorRows, before: Matrix | None = None) -> Matrix:
        """Of rows as they are stored. `before`: what they will be joined to."""
        conversations, names = (before.conversations, before.names) if before else (Codes(), Codes())
        raw = b"".join(row.vector for row in rows)
        return cls(
            n=np.array([row.n for row in rows], dtype=np.int64),
            role=np.array([row.role for row in rows], dtype=np.int32),
            created_at=np.array([row.created_at for row in rows], dtype=np.int64),
            sequence=np.array([row.sequence for row in rows], dtype=np.int64),
            conversation=conversations.of([row.conversation_id for row in rows]),
            name=names.of([row.name for row in rows]),
            vectors=np.frombuffer(raw, dtype="<f2").reshape(len(rows), -1 if rows else 0),
            conversations=conversations,
            names=names,
        )

    @property
    def last(self) -> int:
        return int(self.n[-1]) if len(self.n) else 0

    @property
    def size_bytes(self) -> int:
        return self.vectors.nbytes + (self._rough.rows.nbytes if self._rough else 0) + 36 * len(self.n)

    def nearest(self, query: Vectors, filters: Filters, most: int) -> list[Found]:
        """The best rows that pass the filters by cosine, best first. `query`: shape (dimensions,)."""
        rows = self._promising(query, filters, most)
        if not len(rows):
            return []
        scores = self.vectors[rows].astype(np.float32) @ query
        best = np.lexsort((-rows, -scores))[:most]
        best = best[scores[best] > 0]
        return list(map(Found, self.n[rows[best]].tolist(), scores[best].tolist()))

    def places(self, numbers: Sequence[int]) -> dict[int, Place]:
        """Of those that are here."""
        if not len(self.n):
            return {}
        wanted = np.array(numbers, dtype=np.int64)
        rows = np.minimum(np.searchsorted(self.n, wanted), len(self.n) - 1)
        rows = rows[self.n[rows] == wanted]
        columns = (self.n, self.conversation, self.sequence, self.name, self.role, self.created_at)
        return {
            n: Place(self.conversations.texts[conversation], sequence, self.names.texts[name], role, created_at)
            for n, conversation, sequence, name, role, created_at in zip(
                *(column[rows].tolist() for column in columns), strict=True
            )
        }

    def joined(self, later: Matrix) -> Matrix:
        """This one with the rows of `later`, which was made for it, behind its own."""
        if not len(self.n) or not len(later.n):
            return later if len(later.n) else self
        return Matrix(
            n=np.concatenate([self.n, later.n]),
            role=np.concatenate([self.role, later.role]),
            created_at=np.concatenate([self.created_at, later.created_at]),
            sequence=np.concatenate([self.sequence, later.sequence]),
            conversation=np.concatenate([self.conversation, later.conversation]),
            name=np.concatenate([self.name, later.name]),
            vectors=np.concatenate([self.vectors, later.vectors]),
            conversations=self.conversations,
            names=self.names,
            _rough=self._rough.with_later(later.vectors) if self._rough else None,
        )

    def _promising(self, query: Vectors, filters: Filters, most: int) -> NDArray[np.intp]:
        """Rows that pass the filters: all of them, or of very many those that look best at a rough look."""
        passing = np.flatnonzero(self._passing(filters))
        wanted = _FOR_EACH * most
        if len(passing) <= max(wanted, _MANY):
            return passing
        if self._rough is None:
            self._rough = Rough.of(self.vectors)
        scores = self._rough.scores(query)
        if len(passing) < len(scores):
            scores = scores[passing]
        return passing[np.argpartition(scores, len(scores) - wanted)[-wanted:]]

    def _passing(self, filters: Filters) -> NDArray[np.bool_]:
        allowed = np.zeros(max(ALL_ROLES) + 1, dtype=np.bool_)
        allowed[list(filters.roles)] = True
        passing: NDArray[np.bool_] = allowed[self.role]
        if (filters.start, filters.end) != (_ANYTHING.start, _ANYTHING.end):
            passing &= (self.created_at >= filters.start) & (self.created_at <= filters.end)
        if filters.scope.conversation_id:
            passing &= self.conversation == self.conversations.known(filters.scope.conversation_id)
        return passing
