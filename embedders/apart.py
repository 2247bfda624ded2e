"""Texts that an embedder fails on, told apart from an embedder that fails."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import structlog
from numpy.typing import NDArray

from embedders.protocol import Embedder, EmbedderUnavailable, TextsRefused

_log = structlog.get_logger("embedding")

Row = NDArray[np.float32]


async def embed_apart(embedder: Embedder, texts: Sequence[str]) -> list[Row | None]:
    """One row a text; None for those that it fails on each time while it answers others.

    A text that is refused has a row of zeros: it would be refused again. Raises: EmbedderUnavailable in an outage.
    """
    try:
        return list(await embedder.embed(texts))
    except TextsRefused as error:
        if len(texts) == 1:
            return [_refused(embedder, error)]
    except EmbedderUnavailable:
        if not await _answers(embedder):
            raise
        if len(texts) == 1:
            return [await _once_more(embedder, texts[0])]
    half = len(texts) // 2
    return await embed_apart(embedder, texts[:half]) + await embed_apart(embedder, texts[half:])


async def _once_more(embedder: Embedder, text: str) -> Row | None:
    """It answers others: was it the text, or the moment?"""
    try:
        rows: list[Row] = list(await embedder.embed([text]))
    except TextsRefused as error:
        return _refused(embedder, error)
    except EmbedderUnavailable:
        return None
    return rows[0]


def _refused(embedder: Embedder, error: TextsRefused) -> Row:
    _log.warning("a text was refused, and is found by its words alone", problem=error.message)
    return np.zeros(embedder.dimensions, dtype=np.float32)


async def _answers(embedder: Embedder) -> bool:
    try:
        # What is kept of earlier texts says nothing of now.
        await embedder.embed([f"Is anybody there? {secrets.token_hex(4)}"])
    except TextsRefused:
        return True
    except EmbedderUnavailable:
        return False
    return True
