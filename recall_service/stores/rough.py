"""A first look at very many vectors: their cosines, roughly, from a few numbers each.

Vectors are projected onto the directions in which a sample of them is largest (principal components about the origin:
it is dot products that have to be kept). What looks best is then compared exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors

_AXES = 64
_SAMPLE = 4_000
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Rough:
    """`axes`: shape (dimensions, axes), of length 1 each; `rows`: shape (vectors, axes)."""

    axes: Vectors
    rows: Vectors

    @classmethod
    def of(cls, vectors: NDArray[np.float16]) -> Rough:
        """Chooses the axes for these vectors. Takes about a second for a hundred thousand."""
        sample = vectors[:: max(1, len(vectors) // _SAMPLE)].astype(np.float32)
        _, directions = np.linalg.eigh(sample.T @ sample)
        axes = np.ascontiguousarray(directions[:, -_AXES:], dtype=np.float32)
        return cls(axes, _projected(vectors, axes))

    def with_later(self, vectors: NDArray[np.float16]) -> Rough:
        """With these behind its own, on the same axes."""
        return Rough(self.axes, np.concatenate([self.rows, _projected(vectors, self.axes)]))

    def scores(self, query: Vectors) -> NDArray[np.float32]:
        """One number a vector. `query`: shape (dimensions,)."""
        scores: NDArray[np.float32] = self.rows @ (query @ self.axes)
        return scores


def _projected(vectors: NDArray[np.float16], axes: Vectors) -> Vectors:
    rows: Vectors = np.empty((len(vectors), axes.shape[1]), dtype=np.float32)
    for start in range(0, len(vectors), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        rows[part] = vectors[part].astype(np.float32) @ axes
    return rows
