"""Arrays that grow at their end without being copied each time."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
# Room for so many more rows than there are is made at once, as a share of them.
_SPARE = 0.25


class Growing(Generic[T]):
    """Rows behind which others can be put. What was handed out before stays as it is, in whatever thread it is read."""

    def __init__(self, rows: NDArray[T]) -> None:
        self._room, self._used = rows, len(rows)

    def with_later(self, rows: NDArray[T], later: NDArray[T]) -> NDArray[T]:
        """`rows`, which were handed out here, with `later` behind them."""
        size = len(rows) + len(later)
        if len(rows) != self._used or size > len(self._room):
            # Others have been put behind these rows already, or there is no room.
            shape: Any = (size + int(_SPARE * size), *later.shape[1:])
            room = np.empty(shape, dtype=later.dtype)
            if len(rows):
                room[: len(rows)] = rows
            self._room = room
        self._room[len(rows) : size] = later
        self._used = size
        return self._room[:size]
