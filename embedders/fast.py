"""Models of the package `fastembed` (ONNX), an extra.

It downloads a model from the network when that is first opened, unless it is given the directory that holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from embedders.protocol import EmbedderUnavailable, Vectors, normalised


class FastEmbedder:
    """`name`: one of fastembed's models, or `NAME@DIRECTORY` where its files are there already.

    Raises ImportError if `fastembed` is not installed, and what it raises if it can't have the model.
    """

    def __init__(self, name: str) -> None:
        from fastembed import TextEmbedding

        self._name, _, directory = name.partition("@")
        where = {"specific_model_path": directory} if directory else {}
        self._engine = TextEmbedding(model_name=self._name, **where)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fastembed")
        self._dimensions = int(next(iter(self._engine.embed(["dimensions"]))).shape[0])

    @property
    def model(self) -> str:
        return f"fastembed/{self._name}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, list(texts))

    async def close(self) -> None:
        self._thread.shutdown()

    def _embed(self, texts: list[str]) -> Vectors:
        vectors: Vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        try:
            for row, vector in zip(rows, self._engine.embed([texts[row] for row in rows]), strict=True):
                vectors[row] = vector
        except (RuntimeError, ValueError) as error:
            raise EmbedderUnavailable(f"failed ({type(error).__name__})") from error
        return normalised(vectors)
