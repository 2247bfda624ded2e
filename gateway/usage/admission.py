"""What every call passes once it is known whose it is: the user's quotas, and its turn among the others."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from gateway.usage.book import Account, UsageBook, seconds_left_today
from gateway.usage.slots import Slots
from servicekit import scopes
from servicekit.principal import Tenant
from triptych.errors import ResourceExhausted

_TURNS = (
    "/triptych.agent.v1.TurnService/StartTurn",
    "/triptych.agent.v1.TurnService/ContinueTurn",
    "/triptych.agent.v1.SharingService/StartSharedTurn",
)
# What has a model asked.
_ASKING = (*_TURNS, "/triptych.agent.v1.AgentService/CompactConversation")
_TURN_RETRY_SECONDS = 1.0
# A rate may be as small as a number can be, a time to come back not as large.
_LONGEST_RETRY_SECONDS = 24 * 3600.0
# How names of methods begin by which more is kept afterwards.
_KEEPING = ("Add", "Append", "Continue", "Create", "Fork", "Insert", "Run", "Start", "Undo", "Update", "Upsert")
_SLOTS = 32
_SLOTS_ALONE = 16
_SLOTS_SHARING = 1
# A flood has a fifth of the time of one processor while others, who do not flood, are there.
_REST = 4.0
_MOST_WAITING = 2_000
_UNCOUNTED = nullcontext()


class Admission:
    def __init__(self, book: UsageBook) -> None:
        self._book = book
        self._slots = Slots(_SLOTS, alone=_SLOTS_ALONE, sharing=_SLOTS_SHARING, waiting=_MOST_WAITING, rest=_REST)

    async def request(self, tenant: Tenant) -> None:
        """Counts a request. Raises: ResourceExhausted if the user sends more in a second than it may."""
        account = await self._book.account(tenant)
        wait = _spend(account)
        if wait > 0:
            raise _exhausted("requests_per_second", account.limits.requests_per_second, wait)
        self._book.report(tenant, requests=1)

    def slot(self, tenant: Tenant) -> AbstractAsyncContextManager[None]:
        """A place among the short calls under way. Raises: ResourceExhausted."""
        return self._slots.taken(tenant)

    def call(self, tenant: Tenant, method: str) -> AbstractAsyncContextManager[None]:
        """Around a call to a tier; a turn is live for as long. Raises: ResourceExhausted for what may not begin now."""
        return _UNCOUNTED if scopes.reads(method) else self._counted(tenant, method)

    @asynccontextmanager
    async def _counted(self, tenant: Tenant, method: str) -> AsyncIterator[None]:
        account = await self._book.account(tenant)
        if _fills(method) and _may_be_full(account):
            account = await self._book.recounted(tenant)
        _check(account, method)
        live = method in _TURNS
        account.live_turns += live
        try:
            yield
        finally:
            account.live_turns -= live


def _fills(method: str) -> bool:
    return method.rpartition("/")[2].startswith(_KEEPING)


def _may_be_full(account: Account) -> bool:
    """Whether what is stored has to be counted: before anybody is refused, and once since this gateway started."""
    most = account.limits.stored_bytes
    return bool(most) and (not account.counted or account.used.kept_bytes >= most)


def _check(account: Account, method: str) -> None:
    """Raises: ResourceExhausted."""
    limits, used = account.limits, account.used
    if _fills(method) and limits.stored_bytes and used.kept_bytes >= limits.stored_bytes:
        raise _exhausted("stored_bytes", limits.stored_bytes, None)
    if method in _ASKING and limits.tokens_per_day and used.tokens >= limits.tokens_per_day:
        raise _exhausted("tokens_per_day", limits.tokens_per_day, seconds_left_today())
    if method in _TURNS and limits.live_turns and account.live_turns >= limits.live_turns:
        raise _exhausted("live_turns", limits.live_turns, _TURN_RETRY_SECONDS)


def _spend(account: Account) -> float:
    """Takes one from the allowance; else gives the seconds after which there will be one."""
    rate = account.limits.requests_per_second
    if not rate:
        return 0.0
    now = time.monotonic()
    most = max(rate, 1.0)
    account.allowance = min(most, account.allowance + (now - account.grown_at) * rate)
    account.grown_at = now
    if account.allowance < 1.0:
        return min((1.0 - account.allowance) / rate, _LONGEST_RETRY_SECONDS)
    account.allowance -= 1.0
    return 0.0


def _exhausted(limit: str, value: float, retry_seconds: float | None) -> ResourceExhausted:
    return ResourceExhausted(
        f"over the limit of {value:,g} {limit.replace('_', ' ')}",
        metadata={"limit": limit},
        retry_seconds=retry_seconds,
    )
