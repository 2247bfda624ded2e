"""Any OpenAI-compatible /v1/embeddings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from embedders.protocol import Vectors, normalised, unavailable

_BATCH = 64
_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.25
_TIMEOUT_SECONDS = 30.0


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
        parts = [await self._embed_batch(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self._dimensions), dtype=np.float32)

    async def close(self) -> None:
        await self._http.aclose()

    async def _embed_batch(self, texts: Sequence[str]) -> Vectors:
        answer = await self._post({"model": self._name, "input": list(texts), "encoding_format": "float"})
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
        except (KeyError, TypeError, ValueError):
            raise unavailable("answered with something that is no list of embeddings") from None
        if vectors.shape != (len(texts), self._dimensions):
            raise unavailable(
                f"gave vectors of shape {vectors.shape}, not {(len(texts), self._dimensions)}: "
                "TRIPTYCH_EMBEDDER_DIMENSIONS must be what the model gives"
            )
        return normalised(vectors)

    async def _post(self, body: dict[str, Any]) -> Any:
        """The decoded answer; rate limits, server errors and lost connections are tried again with backoff."""
        problem = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1.0))
            try:
                response = await self._http.post("embeddings", json=body)
            except httpx.HTTPError as error:
                problem = f"can't be reached ({type(error).__name__})"
                continue
            if response.status_code == 429 or response.status_code >= 500:
                problem = f"answered {response.status_code}"
                continue
            if response.is_error:
                raise unavailable(f"refused the request with {response.status_code}")
            try:
                return response.json()
            except ValueError:
                raise unavailable("answered with something that is not JSON") from None
        raise unavailable(problem)
