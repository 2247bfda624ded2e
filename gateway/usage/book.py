"""What each user may use and has used, in memory; written down together every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog
from cachetools import LRUCache

from gateway.store import Store
from gateway.stores import usage
from gateway.stores.usage import Amounts, Limits
from servicekit.metering import Meter
from servicekit.principal import Tenant
from triptych.errors import TriptychError

_DAY_SECONDS = 24 * 3600
# After this the store is asked again: another gateway may have counted too, or set other limits.
_FRESH_SECONDS = 10.0
_MOST_USERS = 20_000
# A user's data is counted for a twentieth of the time at most: large users' less often.
_COUNT_SHARE = 20.0
_log = structlog.get_logger("usage")

Count = Callable[[Tenant], Awaitable[int]]


def today() -> int:
    """Days since 1970, UTC."""
    return int(time.time()) // _DAY_SECONDS


def seconds_left_today() -> float:
    return _DAY_SECONDS - time.time() % _DAY_SECONDS


@dataclass
class Account:
    """A user's state. `allowance`: requests that may come at once; it grows with time to one second's worth."""

    limits: Limits
    day: int
    used: Amounts
    read_at: float
    live_turns: int = 0
    allowance: float = field(default=0.0)
    grown_at: float = field(default_factory=time.monotonic)
    # What is stored, as the tiers have it: whether it was asked for, and when it may be asked for again.
    counted: bool = False
    count_again_at: float = float("-inf")
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)


class UsageBook(Meter):
    """`defaults`: the limits of users for whom neither they nor their account have any."""

    def __init__(self, store: Store, defaults: Limits) -> None:
        super().__init__()
        self._store, self._defaults = store, defaults
        self._accounts: LRUCache[Tenant, Account] = LRUCache(_MOST_USERS)
        self._unwritten: dict[tuple[Tenant, int], Amounts] = {}
        self._count: Count | None = None

    def count_by(self, count: Count) -> None:
        """Gives it what asks the tiers how many bytes a user has stored."""
        self._count = count

    async def account(self, tenant: Tenant) -> Account:
        """The user's state, at most some seconds behind what other gateways know."""
        known = self._accounts.get(tenant)
        if known is not None and time.monotonic() - known.read_at < _FRESH_SECONDS and known.day == today():
            return known
        day = today()
        limits, used = await self._store.read(lambda c: (usage.limits_of(c, tenant), usage.used(c, tenant, day)))
        limits = limits.over(self._defaults)
        pending = self._unwritten.get((tenant, day), Amounts())
        used.requests += pending.requests
        used.tokens += pending.tokens
        used.kept_bytes += pending.kept_bytes
        # Looked up anew: it may have been made while this one waited, and turns may have started.
        found = self._accounts.get(tenant)
        if found is None:
            found = Account(limits, day, used, time.monotonic(), allowance=max(limits.requests_per_second, 1.0))
            self._accounts[tenant] = found
        found.limits, found.day, found.used, found.read_at = limits, day, used, time.monotonic()
        return found

    async def recounted(self, tenant: Tenant) -> Account:
        """As `account`, with what is stored counted anew, unless that would take more than its share of time.

        Between two counts what comes in is added; what is deleted shows in the next one.
        """
        account = await self.account(tenant)
        async with account.counting:
            if self._count is None or time.monotonic() < account.count_again_at:
                return account
            began = time.monotonic()
            try:
                stored = await self._count(tenant)
            except TriptychError as error:
                _log.warning("what a user has stored could not be counted", reason=error.reason_name)
                return account
            finally:
                account.count_again_at = time.monotonic() + _COUNT_SHARE * (time.monotonic() - began)
            await self._store.write(lambda c: usage.set_kept(c, tenant, today(), stored))
            for (whose, _), amounts in self._unwritten.items():
                if whose == tenant:
                    amounts.kept_bytes = 0
            account.used.kept_bytes, account.counted = stored, True
        return account

    def report(self, tenant: Tenant, *, tokens: int = 0, kept_bytes: int = 0, requests: int = 0) -> None:
        """Adds to what the user has used today."""
        if not (tokens or kept_bytes or requests):
            return
        targets = [self._unwritten.setdefault((tenant, today()), Amounts())]
        known = self._accounts.get(tenant)
        if known is not None:
            targets.append(known.used)
        for amounts in targets:
            amounts.requests += requests
            amounts.tokens += tokens
            amounts.kept_bytes += kept_bytes

    async def write_down(self) -> None:
        """One transaction for all users. What could not be written is kept for the next time."""
        unwritten, self._unwritten = self._unwritten, {}
        if not unwritten:
            return
        try:
            await self._store.write(lambda c: usage.add(c, unwritten))
        except BaseException:
            self._put_back(unwritten.items())
            raise

    def forget(self, tenant: Tenant) -> None:
        """Asks the store again: limits were changed. For EVERYBODY, of all the account's users."""
        for known in list(self._accounts):
            if known == tenant or (tenant.user_id == usage.EVERYBODY and known.account_id == tenant.account_id):
                self._accounts[known].read_at = float("-inf")

    def drop(self, tenant: Tenant) -> None:
        """Forgets a user that was erased."""
        self._accounts.pop(tenant, None)
        for key in [key for key in self._unwritten if key[0] == tenant]:
            del self._unwritten[key]

    def _put_back(self, unwritten: Iterable[tuple[tuple[Tenant, int], Amounts]]) -> None:
        for key, amounts in unwritten:
            kept = self._unwritten.setdefault(key, Amounts())
            kept.requests += amounts.requests
            kept.tokens += amounts.tokens
            kept.kept_bytes += amounts.kept_bytes
