"""Any OpenAI-compatible /v1/embeddings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from embedders.protocol import EmbedderUnavailable, TextsRefused, Vectors, normalised

_BATCH = 64
_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.1
_TIMEOUT_SECONDS = 30.0
# The usual models take 8k tokens and refuse a longer text as a whole. What is cut off is still found by its words.
_MOST_CHARACTERS = 8_000
# What an endpoint answers when it is the request that it does not like.
_REFUSALS = (400, 413, 422)


class OpenAIEmbedder:
    """`base_url`: up to and with /v1. `dimensions`: what the model gives; another length is refused."""

    def __init__(self, base_url: str, model: str, api_key: str, dimensions: int) -> None:
        self._name, self._dimensions = model, dimensions
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=_TIMEOUT_SECONDS)

    @property
    def model(self) -> str:
        return f"openai/{self._name}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        # Endpoints refuse empty texts.
        rows = [row for row, text in enumerate(texts) if text.strip()]
        for at in range(0, len(rows), _BATCH):
            part = rows[at : at + _BATCH]
            vectors[part] = await self._embed_batch([texts[row][:_MOST_CHARACTERS] for row in part])
        return vectors

    async def close(self) -> None:
        await self._http.aclose()

    async def _embed_batch(self, texts: list[str]) -> Vectors:
        answer = await self._post({"model": self._name, "input": texts, "encoding_format": "float"})
        vectors = _vectors(answer)
        if vectors.shape != (len(texts), self._dimensions):
            raise EmbedderUnavailable(
                f"gave vectors of shape {vectors.shape}, not {(len(texts), self._dimensions)}: "
                "TRIPTYCH_EMBEDDER_DIMENSIONS must be what the model gives"
            )
        return normalised(vectors)

    async def _post(self, body: dict[str, Any]) -> Any:
        """The decoded answer; rate limits, server errors and lost connections are tried again with backoff."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1.0))
            try:
                return await self._post_once(body)
            except _TryAgain as error:
                lost = error
        raise EmbedderUnavailable(str(lost)) from lost

    async def _post_once(self, body: dict[str, Any]) -> Any:
        try:
            response = await self._http.post("embeddings", json=body)
        except httpx.HTTPError as error:
            raise _TryAgain(f"can't be reached ({type(error).__name__})") from error
        if response.status_code == 429 or response.status_code >= 500:
            raise _TryAgain(f"answered {response.status_code}")
        if response.status_code in _REFUSALS:
            raise TextsRefused(f"refused the texts with {response.status_code}")
        if not response.is_success:
            raise EmbedderUnavailable(f"refused the request with {response.status_code}")
        try:
            return response.json()
        except ValueError as error:
            raise EmbedderUnavailable("answered with something that is not JSON") from error


class _TryAgain(Exception):
    """An attempt failed in a way that another may not."""


def _vectors(answer: Any) -> Vectors:
    """The rows of an answer in the order of its indexes. Raises: EmbedderUnavailable."""
    try:
        rows = sorted(answer["data"], key=lambda row: int(row["index"]))
        with np.errstate(over="ignore"):  # too large for float32 becomes infinity, which `normalised` refuses
            return np.array([row["embedding"] for row in rows], dtype=np.float32)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EmbedderUnavailable("answered with something that is no list of embeddings") from error
