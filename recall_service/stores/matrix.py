"""One agent's, or one user's, vectors and places in memory, so that a search by meaning is one matrix product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors
from recall_service.places import Places
from recall_service.store import ALL_ROLES, Filters, Found
from recall_service.stores.growing import Growing
from recall_service.stores.quantised import Quantised
from recall_service.stores.signs import Signs

# From so many rows on a rough look comes first: a product with all of the numbers would take longer than a search may.
_MANY = 8_000
# Of those that look best so many numbers, for each vector wanted, are compared exactly: 20 vectors of 512, since the
# shorter ones are, the less their signs say. docs/retrieval.md has what is missed.
_NUMBERS_FOR_EACH, _LEAST_FOR_EACH = 10_240, 12
_ROLES = max(ALL_ROLES) + 1
# What a matrix takes beside its rows: most people have few messages.
_OWN_BYTES = 6 * 1024
_ANYTHING = Filters()

# A message's number, role, time, sequence, conversation, speaker, what it asks, and its vector as it is stored.
VectorRow = tuple[int, int, int, int, str, str, int, bytes]


class Codes:
    """Texts as small numbers, so that an array can hold them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._codes: dict[str, int] = {}

    def of(self, texts: Sequence[str]) -> NDArray[np.int32]:
        for text in dict.fromkeys(texts):
            if text not in self._codes:
                self._codes[text] = len(self.texts)
                self.texts.append(text)
        return np.fromiter(map(self._codes.__getitem__, texts), dtype=np.int32, count=len(texts))

    def known(self, text: str) -> int:
        """-1 if it is not."""
        return self._codes.get(text, -1)


@dataclass(frozen=True)
class Columns:
    """One row a message; `n` is ascending. `conversation` and `name` are codes."""

    n: NDArray[np.int64]
    role: NDArray[np.int8]
    created_at: NDArray[np.int64]
    sequence: NDArray[np.int64]
    conversation: NDArray[np.int32]
    name: NDArray[np.int32]
    asks: NDArray[np.int8]

    @property
    def size_bytes(self) -> int:
        return sum(column.nbytes for column in vars(self).values())


class Matrix:
    """A state of things, which does not change. `grown` gives a later one, which shares its memory."""

    def __init__(self) -> None:
        empty = np.empty(0, dtype=np.int64)
        narrow, small = empty.astype(np.int32), empty.astype(np.int8)
        self.columns = Columns(empty, small, empty, empty, narrow, narrow, small)
        self._growing: Mapping[str, Growing[Any]] = {
            name: Growing(column) for name, column in vars(self.columns).items()
        }
        self._conversations, self._names = Codes(), Codes()
        self._vectors, self._signs = Quantised.none(), Signs()
        self._roles: frozenset[int] = frozenset()

    @property
    def last(self) -> int:
        return int(self.columns.n[-1]) if len(self) else 0

    @property
    def size_bytes(self) -> int:
        return _OWN_BYTES + self.columns.size_bytes + self._vectors.size_bytes + self._signs.size_bytes

    def __len__(self) -> int:
        return len(self.columns.n)

    def grown(self, rows: Sequence[VectorRow]) -> Matrix:
        """With these behind its own. Takes 10 microseconds a row, and far less for what was there."""
        if not rows:
            return self
        n, role, created_at, sequence, conversation, name, asks, raw = zip(*rows, strict=True)
        later: dict[str, NDArray[Any]] = {
            "n": np.array(n, dtype=np.int64),
            "role": np.array(role, dtype=np.int8),
            "created_at": np.array(created_at, dtype=np.int64),
            "sequence": np.array(sequence, dtype=np.int64),
            "conversation": self._conversations.of(conversation),
            "name": self._names.of(name),
            "asks": np.array(asks, dtype=np.int8),
        }
        vectors = np.frombuffer(b"".join(raw), dtype="<f2").reshape(len(rows), -1).astype(np.float32)
        grown = Matrix.__new__(Matrix)
        grown._growing, grown._conversations, grown._names = self._growing, self._conversations, self._names
        grown.columns = Columns(
            **{name: self._growing[name].with_later(here, later[name]) for name, here in vars(self.columns).items()}
        )
        grown._vectors, grown._signs = self._vectors.grown(vectors), self._signs.grown(vectors)
        grown._roles = self._roles.union(role)
        return grown

    def nearest(self, query: Vectors, filters: Filters, most: int) -> list[Found]:
        """The best rows that pass the filters by cosine, best first. `query`: shape (dimensions,)."""
        rows = self._promising(query, filters, most)
        if not len(rows):
            return []
        scores = self._vectors.scores(rows, query)
        if len(rows) > most:
            best = _least(-scores, most)
            rows, scores = rows[best], scores[best]
        best = np.lexsort((-rows, -scores))
        best = best[scores[best] > 0]
        return list(map(Found, self.columns.n[rows[best]].tolist(), scores[best].tolist()))

    def places(self, numbers: Sequence[int]) -> Places | None:
        """Of the messages of these numbers, if all are here."""
        here, wanted = self.columns, np.unique(np.array(numbers, dtype=np.int64))
        rows = np.searchsorted(here.n, wanted)
        if len(rows) and (rows[-1] == len(here.n) or (here.n[rows] != wanted).any()):
            return None
        # One number for name and role.
        spoken, speaker = np.unique(here.name[rows] * _ROLES + here.role[rows], return_inverse=True)
        names = self._names.texts
        return Places(
            n=wanted,
            conversation=here.conversation[rows],
            sequence=here.sequence[rows],
            created_at=here.created_at[rows],
            asks=here.asks[rows],
            speaker=speaker,
            speakers=[(names[each // _ROLES], each % _ROLES) for each in spoken.tolist()],
        )

    def _promising(self, query: Vectors, filters: Filters, most: int) -> NDArray[np.intp]:
        """Rows that pass the filters, rising: all of them, or of very many those that look best at a rough look."""
        passing = self._passing(filters)
        wanted = most * max(_NUMBERS_FOR_EACH // len(query), _LEAST_FOR_EACH)
        if np.count_nonzero(passing) <= max(wanted, _MANY):
            return np.flatnonzero(passing)
        differing = self._signs.differing(query)
        if not passing.all():
            differing = np.where(passing, differing, np.iinfo(differing.dtype).max)
        return _fewest(differing, wanted)

    def _passing(self, filters: Filters) -> NDArray[np.bool_]:
        here = self.columns
        if self._roles.issubset(filters.roles):
            passing = np.ones(len(self), dtype=np.bool_)
        else:
            allowed = np.zeros(_ROLES, dtype=np.bool_)
            allowed[list(filters.roles)] = True
            passing = allowed.take(here.role)
        if (filters.start, filters.end) != (_ANYTHING.start, _ANYTHING.end):
            passing &= (here.created_at >= filters.start) & (here.created_at <= filters.end)
        if filters.scope.conversation_id:
            passing &= here.conversation == self._conversations.known(filters.scope.conversation_id)
        return passing


def _fewest(counts: NDArray[np.uint16], most: int) -> NDArray[np.intp]:
    """As `_least`, in a third of the time where the values are small numbers."""
    limit = int(np.searchsorted(np.cumsum(np.bincount(counts)), most))
    rows = np.flatnonzero(counts <= limit)
    return np.delete(rows, np.flatnonzero(counts[rows] == limit)[: len(rows) - most])


def _least(values: NDArray[Any], most: int) -> NDArray[np.intp]:
    """Where the `most` least values are, rising; of equals the last, which are the newest messages."""
    limit = np.partition(values, most - 1)[most - 1]
    below, equal = np.flatnonzero(values < limit), np.flatnonzero(values == limit)
    return np.sort(np.concatenate([below, equal[len(below) - most :]]))
