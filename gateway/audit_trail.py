"""Which resources the call of this task has touched, as the services behind say in trailing metadata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar

_touched: ContextVar[list[str]] = ContextVar("touched")


def begin() -> None:
    """For each call: which resources it touches comes together from here on."""
    _touched.set([])


def touched(resources: Iterable[str]) -> None:
    """Adds resources that a service says this task's call has touched."""
    found = _touched.get(None)
    if found is not None:
        found.extend(resources)


def so_far() -> Sequence[str]:
    return _touched.get([])
