"""Clients of providers' endpoints: made when they are needed; of those that nobody uses the latest are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent_service.models.client import ModelClient
from agent_service.models.directory import Provided

_MOST_IDLE = 100


@dataclass
class _Open:
    client: ModelClient
    calls: int = 0


class ClientPool:
    def __init__(self) -> None:
        # By Provided.key, the one used last at the end.
        self._open: OrderedDict[str, _Open] = OrderedDict()

    @asynccontextmanager
    async def client(self, provided: Provided) -> AsyncIterator[ModelClient]:
        entry = self._open.get(provided.key)
        if entry is None:
            entry = self._open[provided.key] = _Open(ModelClient(provided.endpoint))
        self._open.move_to_end(provided.key)
        entry.calls += 1
        try:
            yield entry.client
        finally:
            entry.calls -= 1
            await self._trim()

    async def _trim(self) -> None:
        idle = [key for key, entry in self._open.items() if not entry.calls]
        for key in idle[: max(0, len(idle) - _MOST_IDLE)]:
            await self._open.pop(key).client.close()

    async def close(self) -> None:
        entries, self._open = list(self._open.values()), OrderedDict()
        for entry in entries:
            await entry.client.close()
