"""Vectors at a byte a number: half the memory of how they are stored, and read five times as fast.

The cosine of two sentences moves by 0.001 at the most (measured on 30,000 vectors), far less than what it can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors
from recall_service.stores.growing import Growing

_LARGEST = 127
_AT_ONCE = 128


@dataclass(frozen=True)
class Quantised:
    """`rows`: shape (vectors, dimensions); `scales`: what each row's numbers stand for, times 127."""

    rows: NDArray[np.int8]
    scales: NDArray[np.float32]
    _growing: tuple[Growing[np.int8], Growing[np.float32]]

    @classmethod
    def none(cls) -> Quantised:
        rows, scales = np.empty((0, 0), dtype=np.int8), np.empty(0, dtype=np.float32)
        return cls(rows, scales, (Growing(rows), Growing(scales)))

    @property
    def size_bytes(self) -> int:
        return self.rows.nbytes + self.scales.nbytes

    def grown(self, vectors: Vectors) -> Quantised:
        """With these behind its own."""
        scales = np.abs(vectors).max(axis=1, initial=0)
        later = np.empty(vectors.shape, dtype=np.int8)
        np.rint(vectors * (_LARGEST / np.where(scales == 0, 1, scales))[:, None], out=later, casting="unsafe")
        rows, here = self._growing
        return Quantised(rows.with_later(self.rows, later), here.with_later(self.scales, scales), self._growing)

    def scores(self, at: NDArray[np.intp], query: Vectors) -> NDArray[np.float32]:
        """Dot products with those of the rows. `query`: shape (dimensions,)."""
        scores = np.empty(len(at), dtype=np.float32)
        # Used again and again, so that both stay near the processor.
        narrow = np.empty((_AT_ONCE, self.rows.shape[1]), dtype=np.int8)
        wide = np.empty(narrow.shape, dtype=np.float32)
        for start in range(0, len(at), _AT_ONCE):
            part = at[start : start + _AT_ONCE]
            rows, numbers = narrow[: len(part)], wide[: len(part)]
            np.take(self.rows, part, axis=0, out=rows, mode="clip")  # all are there: this mode does not copy them first
            numbers[:] = rows
            np.matmul(numbers, query, out=scores[start : start + len(part)])
        scores *= self.scales[at] / _LARGEST
        return scores
