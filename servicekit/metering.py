"""What callers have used, as each service counts it and hands it to its caller: model tokens, and bytes kept.

A service reports to its `Meter`. The end of the user's next call, which is mostly the one that used it, takes along
what has come together, in trailing metadata; a service in between adds it to its own. So it arrives at the gateway
without anybody decoding an answer, also for a turn whose caller went away. What is not yet handed on when a process
dies is lost: this is for quotas, not for bills.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from servicekit import principal
from servicekit.principal import Tenant

_TOKENS = "triptych-used-tokens"
_BYTES = "triptych-kept-bytes"
_MOST_USERS = 100_000


_current: ContextVar[Meter | None] = ContextVar("meter", default=None)


def bind(meter: Meter | None) -> None:
    """Makes it the meter of the call being served."""
    _current.set(meter)


def kept(kept_bytes: int) -> None:
    """Reports, of the caller being served, by how much what is kept of it has grown."""
    meter = _current.get()
    if meter is not None:
        meter.report(principal.tenant(), kept_bytes=kept_bytes)


@dataclass
class Used:
    """`kept_bytes`: by how much what is kept has grown; negative if it has shrunk."""

    tokens: int = 0
    kept_bytes: int = 0


class Meter:
    def __init__(self) -> None:
        self._used: dict[Tenant, Used] = {}

    def report(self, tenant: Tenant, *, tokens: int = 0, kept_bytes: int = 0) -> None:
        if not (tokens or kept_bytes):
            return
        if len(self._used) >= _MOST_USERS:
            self._used.clear()
        used = self._used.setdefault(tenant, Used())
        used.tokens += tokens
        used.kept_bytes += kept_bytes

    def take(self, tenant: Tenant) -> tuple[tuple[str, str], ...]:
        """What has come together of the user, as metadata; it counts from zero again."""
        used = self._used.pop(tenant, None)
        if used is None:
            return ()
        return (_TOKENS, str(used.tokens)), (_BYTES, str(used.kept_bytes))

    def add(self, tenant: Tenant, metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
        """Reports what a callee's trailing metadata says."""
        tokens = kept_bytes = 0
        for name, value in metadata or ():
            if name == _TOKENS:
                tokens = int(value)
            elif name == _BYTES:
                kept_bytes = int(value)
        self.report(tenant, tokens=tokens, kept_bytes=kept_bytes)
