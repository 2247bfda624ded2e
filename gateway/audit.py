"""Notes who did what to which resource; written down together every second, and at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import structlog

from gateway import audit_trail
from gateway.auth import identity
from gateway.store import Store
from gateway.stores import audit
from gateway.stores.audit import Event
from servicekit import resources, scopes
from triptych.errors import TriptychError

_log = structlog.get_logger("audit")
# With the store away for longer, the oldest are given up rather than the memory of the gateway.
_MOST_UNWRITTEN = 100_000
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


class AuditLog:
    """Writes and exports are noted, those that were refused too. Other reads are the access log's matter."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unwritten: list[Event] = []

    def rpc(self, method: str, code: str, named: Sequence[str]) -> None:
        """After each RPC. `method`: `/package.Service/Method`."""
        if not scopes.reads(method) or "/Export" in method:
            self._note(method.rpartition(".")[2], code, named)

    def http(self, method: str, route: str, status: int, named: Iterable[str]) -> None:
        """After each request. `route`: the path's pattern; `named`: what stood in the places of its parameters."""
        if (method in _WRITES and not route.endswith("/search")) or route.endswith("/export"):
            self._note(f"{method} {route}", "OK" if status < 400 else str(status), resources.read(",".join(named)))

    def _note(self, action: str, outcome: str, named: Sequence[str]) -> None:
        try:
            caller = identity.current()
        except TriptychError:  # nobody was authenticated: there is no account whose log it would be
            return
        known = tuple(dict.fromkeys([*named, *audit_trail.so_far()]))[: resources.MOST]
        event = Event(caller.principal.tenant, time.time_ns() // 1000, caller.key_id, action, known, outcome)
        if len(self._unwritten) >= _MOST_UNWRITTEN:
            _log.error("audit events were given up: the store is away", events=len(self._unwritten))
            self._unwritten.clear()
        self._unwritten.append(event)

    async def write_down(self) -> None:
        """One transaction; what could not be written is kept for the next time."""
        unwritten, self._unwritten = self._unwritten, []
        if not unwritten:
            return
        try:
            await self._store.write(lambda c: audit.append(c, unwritten))
        except BaseException:
            self._unwritten[:0] = unwritten
            raise
