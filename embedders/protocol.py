"""What every embedder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych.errors import Unavailable
from triptych.type.v1 import type_pb2

# Shape (texts, dimensions), float32, each row of length 1 (or all zeros for a text without a known word).
Vectors = NDArray[np.float32]


class EmbedderUnavailable(Unavailable):
    """It can't be reached, or answered with garbage: the same texts may be embedded later."""

    default_reason = type_pb2.ERROR_REASON_EMBEDDER_UNAVAILABLE

    def __init__(self, what: str) -> None:
        super().__init__(f"the embedder {what}")


class TextsRefused(EmbedderUnavailable):
    """It answers, but does not take these texts. One of them alone, or the others without it, may still pass."""


class Garbage(EmbedderUnavailable):
    """It answers, with what is no vector (NaN, no JSON). It may do so for one of the texts alone."""


class Embedder(Protocol):
    """`model`: a name that changes when the vectors do, stored with every index. `dimensions`: a vector's length."""

    @property
    def model(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text. Raises: EmbedderUnavailable (reason EMBEDDER_UNAVAILABLE), and of it TextsRefused."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class LocalEmbedder(Protocol):
    """An embedder that computes in this process, and within a few milliseconds."""

    def embed_here(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`, in the caller's own thread. Safe to call from several."""
        ...


def normalised(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays. Raises: Garbage for NaN or infinity."""
    if not np.isfinite(vectors).all():
        raise Garbage("answered with numbers that are not finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)
