"""Vectors that the caller has made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedders import Vectors
from triptych.archival.v1.archival_pb2 import Vector
from triptych.errors import InvalidArgument


def fit(given: Sequence[Vector], dimensions: int) -> bool:
    """Whether there are any, and all are of so many numbers."""
    return bool(given) and all(len(each.values) == dimensions for each in given)


def vectors(field: str, given: Sequence[Vector], dimensions: int) -> Vectors:
    """As one array, shape (given, dimensions), each row of length 1. Raises: InvalidArgument."""
    made: Vectors = np.zeros((len(given), dimensions), dtype=np.float32)
    for row, each in enumerate(given):
        if len(each.values) != dimensions:
            raise InvalidArgument.of(f"{field}[{row}]", f"must have {dimensions} values, not {len(each.values)}")
        made[row] = each.values
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise InvalidArgument.of(field, "must be finite numbers, and none of them all zeros")
    made /= lengths
    return made
