"""Text on its way out: the first piece at once, later ones gathered for a moment, since each event costs a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent_service.models.types import Deltas

_GATHER_SECONDS = 0.015


class DeltaStream:
    """Calls `emit(kind, text)`, kind being `text` or `reasoning`, in the order in which the pieces came."""

    def __init__(self, emit: Callable[[str, str], None]) -> None:
        self._emit = emit
        self._kind = ""
        self._pieces: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._first = True

    def sink(self) -> Deltas:
        return Deltas(
            text=lambda piece: self._add("text", piece), reasoning=lambda piece: self._add("reasoning", piece)
        )

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pieces:
            self._emit(self._kind, "".join(self._pieces))
            self._pieces.clear()

    def _add(self, kind: str, piece: str) -> None:
        if kind != self._kind:
            self.flush()
            self._kind = kind
        self._pieces.append(piece)
        if self._first:
            self._first = False
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self.flush)
