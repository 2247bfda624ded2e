"""Who goes next: a bounded number of calls is under way, and those that wait get their turn user by user.

A place for each is not enough on a machine whose processors one user alone keeps busy: each of another's calls would
then wait for a processor at every step. So while there is somebody whose calls need not wait, those whose calls do
rest between them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from servicekit.principal import Tenant
from triptych.errors import ResourceExhausted

_RETRY_SECONDS = 1.0


# Two users within so many seconds share; one alone has all that one may have.
_TOGETHER_SECONDS = 1.0
# A call that takes longer waits for something else than its turn, and makes room.
_HELD_SECONDS = 0.1


class Slots:
    """`total`: calls under way at once; `alone`, `sharing`: of one user, when no other is there, and when one is.

    `waiting`: most that one user may have waiting. `rest`: how long a user rests, in times of what its call took.
    """

    def __init__(self, total: int, *, alone: int, sharing: int, waiting: int, rest: float) -> None:
        self._free, self._alone, self._sharing, self._most_waiting = total, alone, sharing, waiting
        self._rest = rest
        self._busy: Counter[Tenant] = Counter()
        # In the order in which they get the next slot.
        self._waiting: OrderedDict[Tenant, deque[asyncio.Future[None]]] = OrderedDict()
        self._last: Tenant | None = None
        self._changed_at = float("-inf")
        self._resting: set[Tenant] = set()
        # Who had a call that ended with none of its others waiting, last; and when.
        self._unhurried: tuple[Tenant | None, float] = None, float("-inf")

    @asynccontextmanager
    async def taken(self, tenant: Tenant) -> AsyncIterator[None]:
        """Waits for the user's turn. Raises: ResourceExhausted if too many of the user's calls wait already."""
        if self._last not in (None, tenant):
            self._changed_at = time.monotonic()
        self._last = tenant
        if self._free > 0 and self._busy[tenant] < self._each() and tenant not in self._waiting:
            self._take(tenant)
        else:
            await self._wait(tenant)
        taken_at, given_back = time.monotonic(), False

        def give_back(rest: float = 0.0) -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self._give_back(tenant, rest)

        too_long = asyncio.get_running_loop().call_later(_HELD_SECONDS, give_back)
        try:
            yield
        finally:
            too_long.cancel()
            give_back(self._rest * (time.monotonic() - taken_at))

    def _each(self) -> int:
        together = time.monotonic() - self._changed_at < _TOGETHER_SECONDS
        return self._sharing if together else self._alone

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

    def _give_back(self, tenant: Tenant, rest: float = 0.0) -> None:
        """`rest`: seconds until the next of those that wait, if somebody's calls need not wait."""
        if tenant not in self._waiting:
            self._unhurried = tenant, time.monotonic()
        elif rest > 0 and self._other_is_unhurried(tenant):
            self._resting.add(tenant)
            asyncio.get_running_loop().call_later(rest, self._rested, tenant)
        self._free += 1
        self._busy[tenant] -= 1
        if not self._busy[tenant]:
            del self._busy[tenant]
        self._serve()

    def _other_is_unhurried(self, tenant: Tenant) -> bool:
        other, at = self._unhurried
        return other != tenant and time.monotonic() - at < _TOGETHER_SECONDS

    def _rested(self, tenant: Tenant) -> None:
        self._resting.discard(tenant)
        self._serve()

    def _serve(self) -> None:
        """Gives free slots to those who wait and do not rest: one to each user in turn."""
        each = self._each()
        for tenant in list(self._waiting):
            if self._free <= 0:
                return
            if self._busy[tenant] >= each or tenant in self._resting:
                continue
            place = self._next(tenant)
            if place is not None:
                self._take(tenant)
                place.set_result(None)

    def _next(self, tenant: Tenant) -> asyncio.Future[None] | None:
        """The first of its calls that was not cancelled, if there is one; the user stands last of all then."""
        queue = self._waiting.pop(tenant)
        while queue:
            place = queue.popleft()
            if not place.done():
                if queue:
                    self._waiting[tenant] = queue
                return place
        return None
