"""Texts that an embedder fails on, told apart from an embedder that fails."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embedders.protocol import Embedder, EmbedderUnavailable, TextsRefused

Row = NDArray[np.float32]


async def embed_apart(embedder: Embedder, texts: Sequence[str]) -> list[Row | None]:
    """One row a text; None for those that it fails on each time while it answers others.

    A text that is refused has a row of zeros: it would be refused again. Raises: EmbedderUnavailable in an outage.
    """
    try:
        return list(await embedder.embed(texts))
    except TextsRefused:
        if len(texts) == 1:
            return [np.zeros(embedder.dimensions, dtype=np.float32)]
    except EmbedderUnavailable:
        if not await _answers(embedder):
            raise
        if len(texts) == 1:
            return [None]
    half = len(texts) // 2
    return await embed_apart(embedder, texts[:half]) + await embed_apart(embedder, texts[half:])


async def _answers(embedder: Embedder) -> bool:
    try:
        # What is kept of earlier texts says nothing of now.
        await embedder.embed([f"Is anybody there? {secrets.token_hex(4)}"])
    except TextsRefused:
        return True
    except EmbedderUnavailable:
        return False
    return True
