"""How much time an RPC has left, and what of it the next hop gets."""

from __future__ import annotations

import time
from contextvars import ContextVar

from triptych.errors import DeadlineExceeded

# Kept back from the time that remains, so that this hop can still answer when the next one used its time up.
RESERVE_SECONDS = 0.05

_ends: ContextVar[float | None] = ContextVar("deadline", default=None)


def bind(seconds: float | None) -> None:
    """Sets what this task has left (None: work that outlives its caller)."""
    _ends.set(None if seconds is None else time.monotonic() + seconds)


def for_next_hop(cap_seconds: float) -> float:
    """Seconds to give to a call: what is left less a reserve, `cap_seconds` at most.

    Raises: DeadlineExceeded if nothing is left.
    """
    ends = _ends.get()
    if ends is None:
        return cap_seconds
    left = ends - time.monotonic() - RESERVE_SECONDS
    if left <= 0:
        raise DeadlineExceeded("the call's time was used up before its next hop")
    return min(left, cap_seconds)
