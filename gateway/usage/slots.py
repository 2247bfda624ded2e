"""Who goes next: a bounded number of calls is under way, and those that wait get their turn user by user."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from servicekit.principal import Tenant
from triptych.errors import ResourceExhausted

_RETRY_SECONDS = 1.0


class Slots:
    """`total`: calls under way at once; `each`: of one user. `waiting`: most that one user may have waiting."""

    def __init__(self, total: int, each: int, waiting: int) -> None:
        self._free, self._each, self._most_waiting = total, each, waiting
        self._busy: Counter[Tenant] = Counter()
        # In the order in which they get the next slot.
        self._waiting: OrderedDict[Tenant, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def taken(self, tenant: Tenant) -> AsyncIterator[None]:
        """Waits for the user's turn. Raises: ResourceExhausted if too many of the user's calls wait already."""
        if self._free > 0 and self._busy[tenant] < self._each and tenant not in self._waiting:
            self._take(tenant)
        else:
            await self._wait(tenant)
        try:
            yield
        finally:
            self._give_back(tenant)

    def _take(self, tenant: Tenant) -> None:
        self._free -= 1
        self._busy[tenant] += 1

    async def _wait(self, tenant: Tenant) -> None:
        queue = self._waiting.setdefault(tenant, deque())
        if len(queue) >= self._most_waiting:
            raise ResourceExhausted(
                f"over {self._most_waiting} calls of this user wait already",
                metadata={"limit": "waiting_calls"},
                retry_seconds=_RETRY_SECONDS,
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # the slot came, and nobody is there to use it
                self._give_back(tenant)
            else:
                self._leave(tenant, place)
            raise

    def _leave(self, tenant: Tenant, place: asyncio.Future[None]) -> None:
        queue = self._waiting.get(tenant)
        if queue is not None and place in queue:
            queue.remove(place)
            if not queue:
                del self._waiting[tenant]

    def _give_back(self, tenant: Tenant) -> None:
        self._free += 1
        self._busy[tenant] -= 1
        if not self._busy[tenant]:
            del self._busy[tenant]
        self._serve()

    def _serve(self) -> None:
        """Gives free slots to those who wait: one to each user in turn."""
        for tenant in list(self._waiting):
            if self._free <= 0:
                return
            if self._busy[tenant] >= self._each:
                continue
            queue = self._waiting.pop(tenant)
            place = queue.popleft()
            if queue:
                self._waiting[tenant] = queue
            self._take(tenant)
            place.set_result(None)
