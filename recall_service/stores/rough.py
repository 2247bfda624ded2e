"""A first look at very many vectors: their cosines, roughly, from a few numbers each.

Vectors are projected onto the directions in which a sample of them is largest (principal components about the origin:
it is dot products that have to be kept). What looks best is then compared exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors
from recall_service.stores.growing import Growing
from recall_service.stores.quantised import Quantised

_AXES = 64
_SAMPLE = 4_000
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Rough:
    """`axes`: shape (dimensions, axes), of length 1 each; `rows`: shape (vectors, axes).

    `chosen_for`: how many vectors there were when the axes were chosen.
    """

    axes: Vectors
    rows: Vectors
    chosen_for: int
    _growing: Growing[np.float32]

    @classmethod
    def of(cls, vectors: Quantised) -> Rough:
        """Chooses the axes for these vectors. Takes half a second for a hundred thousand."""
        count = len(vectors.rows)
        sample = vectors.widened(slice(None, None, max(1, count // _SAMPLE)))
        _, directions = np.linalg.eigh(sample.T @ sample)
        axes = np.ascontiguousarray(directions[:, -_AXES:], dtype=np.float32)
        parts = [vectors.widened(slice(start, start + _AT_ONCE)) @ axes for start in range(0, count, _AT_ONCE)]
        rows = np.concatenate(parts)
        return cls(axes, rows, count, Growing(rows))

    def grown(self, vectors: NDArray[np.float16]) -> Rough:
        """With these behind its own, on the same axes."""
        later = vectors.astype(np.float32) @ self.axes
        return replace(self, rows=self._growing.with_later(self.rows, later))

    def scores(self, query: Vectors) -> NDArray[np.float32]:
        """One number a vector. `query`: shape (dimensions,)."""
        scores: NDArray[np.float32] = self.rows @ (query @ self.axes)
        return scores
