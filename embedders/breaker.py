"""A dead endpoint fails at once for a few seconds, rather than after every caller's own retries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from embedders.protocol import Embedder, EmbedderUnavailable, Garbage, TextsRefused, Vectors

_FAILURES = 3
_OPEN_SECONDS = 3.0


class BreakingEmbedder:
    """After `failures` in a row it refuses for `open_seconds`; then one call tries, and the others go on failing.

    `deadline_seconds`: no call takes longer, retries included.
    """

    def __init__(
        self,
        inner: Embedder,
        *,
        deadline_seconds: float,
        failures: int = _FAILURES,
        open_seconds: float = _OPEN_SECONDS,
    ) -> None:
        self._inner, self._deadline_seconds = inner, deadline_seconds
        self._most, self._open_seconds = failures, open_seconds
        self._failures, self._until = 0, 0.0

    @property
    def model(self) -> str:
        return self._inner.model

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self._pass()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                vectors = await self._inner.embed(texts)
        except (TextsRefused, Garbage):  # it is alive, and one user's text must not shut out all others
            self._failures = 0
            raise
        except TimeoutError as error:
            self._failed()
            raise EmbedderUnavailable(f"gave no answer within {self._deadline_seconds:g} s") from error
        except EmbedderUnavailable:
            self._failed()
            raise
        self._failures = 0
        return vectors

    async def close(self) -> None:
        await self._inner.close()

    def _pass(self) -> None:
        """Raises: EmbedderUnavailable while it is open."""
        if self._failures < self._most:
            return
        now = asyncio.get_running_loop().time()
        if now < self._until:
            raise EmbedderUnavailable("has failed several times in a row, and is left alone for some seconds")
        self._until = now + self._open_seconds  # this call tries, and those beside it don't

    def _failed(self) -> None:
        self._failures += 1
        self._until = asyncio.get_running_loop().time() + self._open_seconds
