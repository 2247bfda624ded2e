"""A first look at very many vectors: how many of their numbers have another sign than the query's.

The fewer, the smaller the angle (Charikar 2002), if no few of the numbers say more than the others: so vectors are
turned at random before. What differs least is then compared exactly. Of a vector of 512 numbers this reads 64 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors
from recall_service.stores.growing import Growing

_BITS = 64
# Small arrays are used again and stay near the processor; large ones are new memory each time.
_TURNED_AT_ONCE, _COMPARED_AT_ONCE = 256, 32_768
# So many columns' differing signs fit into one byte, and bytes are added up several times as fast as what is wider.
_COUNTED_AT_ONCE = 255 // _BITS

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Signs:
    """`columns`: the first 64 signs of each vector, the next 64, and so on."""

    columns: tuple[Words, ...] = ()
    _growing: tuple[Growing[np.uint64], ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(column.nbytes for column in self.columns)

    def grown(self, vectors: Vectors) -> Signs:
        """With these behind its own."""
        later = _packed(vectors)
        if not self.columns:
            return Signs(tuple(later), tuple(map(Growing, later)))
        both = zip(self._growing, self.columns, later, strict=True)
        return Signs(tuple(growing.with_later(here, more) for growing, here, more in both), self._growing)

    def differing(self, query: Vectors) -> NDArray[np.uint16]:
        """One number a vector. `query`: shape (dimensions,)."""
        wanted = _packed(query[None])[:, 0]
        count = np.zeros(len(self.columns[0]), dtype=np.uint16)
        compared = list(zip(self.columns, wanted, strict=True))
        most = max(1, min(len(count), _COMPARED_AT_ONCE))
        differ = np.empty(most, dtype=np.uint64)
        bits, few = np.empty(most, dtype=np.uint8), np.empty(most, dtype=np.uint8)
        for start in range(0, len(count), most):
            here = count[start : start + most]
            size = len(here)
            differ, bits, few = differ[:size], bits[:size], few[:size]
            for first in range(0, len(compared), _COUNTED_AT_ONCE):
                few[:] = 0
                for column, word in compared[first : first + _COUNTED_AT_ONCE]:
                    np.bitwise_xor(column[start : start + size], word, out=differ)
                    np.bitwise_count(differ, out=bits)
                    few += bits
                here += few
        return count


def _packed(vectors: Vectors) -> Words:
    """Shape (words, vectors)."""
    rows, length = vectors.shape
    signs = np.zeros((rows, -(-length // _BITS) * _BITS), dtype=np.bool_)
    for start in range(0, rows, _TURNED_AT_ONCE):
        part = slice(start, start + _TURNED_AT_ONCE)
        np.greater(_turned(vectors[part]), 0, out=signs[part, :length])
    return np.ascontiguousarray(np.packbits(signs, axis=1).view(np.uint64).T)


def _turned(vectors: Vectors) -> Vectors:
    """All by the same random rotation: some signs changed, then each frequency moved (Hinrichs and Vybiral 2011)."""
    flips, angles = _rotation(vectors.shape[1])
    return np.fft.irfft(np.fft.rfft(vectors * flips) * angles, n=vectors.shape[1]).astype(np.float32, copy=False)


@cache
def _rotation(length: int) -> tuple[Vectors, NDArray[Any]]:
    generator = np.random.default_rng(length)
    flips = generator.choice(np.array([-1, 1], dtype=np.float32), length)
    angles = np.exp(2j * np.pi * generator.random(length // 2 + 1)).astype(np.complex64)
    # Of these two frequencies nothing but the sign can be changed.
    angles[0] = 1
    if length % 2 == 0:
        angles[-1] = 1
    return flips, angles
