"""Messages that the embedder failed on while it embedded others: they come again later, and hold up nobody."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from recall_service.store import Waiting

_MOST_SECONDS = 6 * 3600.0
_MOST = 1_000


class Postponed:
    """In memory: a new process tries them all at once. `first_seconds`: until they come for the second time."""

    def __init__(self, first_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._first_seconds, self._clock = first_seconds, clock
        # By number and revision: until when, and how long that was. The first that was postponed goes first.
        self._until: OrderedDict[tuple[int, int], tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def due(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        """Those that are not to come later. One that should have come and does not wait any more is forgotten."""
        now, waiting = self._clock(), list(waiting)
        here = set(map(_key, waiting))
        for key in [key for key, (until, _) in self._until.items() if until <= now and key not in here]:
            del self._until[key]
        return [each for each in waiting if self._until.get(_key(each), (now, 0.0))[0] <= now]

    def add(self, each: Waiting) -> float:
        """It comes again in so many seconds, in twice as many the next time."""
        _, before = self._until.pop(_key(each), (0.0, 0.0))
        seconds = min(2 * before, _MOST_SECONDS) or self._first_seconds
        self._until[_key(each)] = (self._clock() + seconds, seconds)
        while len(self._until) > _MOST:
            self._until.popitem(last=False)
        return seconds

    def soonest(self) -> float:
        """In how many seconds the first of them is due; infinity if there are none."""
        now = self._clock()
        return max(0.0, min((until - now for until, _ in self._until.values()), default=float("inf")))

    def forget(self, done: Iterable[Waiting]) -> None:
        for each in done:
            self._until.pop(_key(each), None)


def _key(each: Waiting) -> tuple[int, int]:
    return each.n, each.revision
