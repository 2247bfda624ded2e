"""Any OpenAI-compatible /v1/embeddings."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from aiolimiter import AsyncLimiter

from embedders.protocol import EmbedderUnavailable, Garbage, TextsRefused, Vectors, normalised

_BATCH = 64
_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 20.0
_TIMEOUT_SECONDS = 30.0
_AT_ONCE = 8
# The usual models take 8k tokens and refuse a longer text as a whole. What is cut off is still found by its words.
_MOST_CHARACTERS = 8_000
# What an endpoint answers when it is the request that it does not like.
_REFUSALS = (400, 413, 422)


class OpenAIEmbedder:
    """`base_url`: up to and with /v1. `dimensions`: what the model gives; another length is refused.

    `per_second`: most requests in a second, 0 for any number; `at_once`: most that are under way.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str,
        dimensions: int,
        *,
        per_second: float = 0.0,
        at_once: int = _AT_ONCE,
    ) -> None:
        self._name, self._dimensions = model, dimensions
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=_TIMEOUT_SECONDS)
        self._at_once = asyncio.Semaphore(at_once)
        # A bucket of one: requests are spread over the second, and no burst passes that the endpoint would refuse.
        self._rate = AsyncLimiter(1, 1 / per_second) if per_second else contextlib.nullcontext()

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
            raise Garbage(
                f"gave vectors of shape {vectors.shape}, not {(len(texts), self._dimensions)}: "
                "TRIPTYCH_EMBEDDER_DIMENSIONS must be what the model gives"
            )
        return normalised(vectors)

    async def _post(self, body: dict[str, Any]) -> Any:
        """The decoded answer; rate limits, server errors and lost connections are tried again with backoff."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._at_once, self._rate:
                    return await self._post_once(body)
            except _TryAgain as error:
                lost = error
            if attempt < _ATTEMPTS:
                backoff = _FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1.0)
                await asyncio.sleep(max(backoff, lost.wait_seconds))
        raise EmbedderUnavailable(str(lost)) from lost

    async def _post_once(self, body: dict[str, Any]) -> Any:
        try:
            response = await self._http.post("embeddings", json=body)
        except httpx.HTTPError as error:
            raise _TryAgain(f"can't be reached ({type(error).__name__})") from error
        if response.status_code == 429 or response.status_code >= 500:
            raise _TryAgain(f"answered {response.status_code}", _retry_after(response))
        if response.status_code in _REFUSALS:
            raise TextsRefused(f"refused the texts with {response.status_code}")
        if not response.is_success:
            raise EmbedderUnavailable(f"refused the request with {response.status_code}")
        try:
            return response.json()
        except ValueError as error:
            raise Garbage("answered with something that is not JSON") from error


class _TryAgain(Exception):
    """An attempt failed in a way that another may not. `wait_seconds`: the least that the endpoint asks to wait."""

    def __init__(self, what: str, wait_seconds: float = 0.0) -> None:
        super().__init__(what)
        self.wait_seconds = wait_seconds


def _retry_after(response: httpx.Response) -> float:
    """In seconds, within reason; 0 where it is not said, or said as a date."""
    said = response.headers.get("retry-after", "")
    return min(float(said), _LONGEST_WAIT_SECONDS) if said.isascii() and said.isdecimal() else 0.0


def _vectors(answer: Any) -> Vectors:
    """The rows of an answer in the order of its indexes. Raises: EmbedderUnavailable."""
    try:
        rows = sorted(answer["data"], key=lambda row: int(row["index"]))
        with np.errstate(over="ignore"):  # too large for float32 becomes infinity, which `normalised` refuses
            return np.array([row["embedding"] for row in rows], dtype=np.float32)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Garbage("answered with something that is no list of embeddings") from error
