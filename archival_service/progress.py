"""How far long work has come."""

from __future__ import annotations

import asyncio
from typing import Any

_LOG_SECONDS = 2.0


class Progress:
    """Says it in the log, every few seconds. `total`: passages that waited when it began."""

    def __init__(self, log: Any, work: str, total: int) -> None:
        self._log, self._work = log, work
        self.done, self.total = 0, total
        self._logged = asyncio.get_running_loop().time()

    def add(self, passages: int) -> None:
        self.done += passages
        now = asyncio.get_running_loop().time()
        if now - self._logged > _LOG_SECONDS:
            self._log.info(self._work, done=self.done, total=self.total)
            self._logged = now
