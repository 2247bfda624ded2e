"""Limits of users and accounts, and what users have used, by day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from gateway.stores.tables import limits, usage
from servicekit.principal import Tenant

# In the place of a user: each user of the account that has no limits of its own.
EVERYBODY = ""


@dataclass(frozen=True)
class Limits:
    """0: not set. `tokens_per_day`: model tokens, days of UTC. `stored_bytes`: of text."""

    requests_per_second: float = 0.0
    live_turns: int = 0
    tokens_per_day: int = 0
    stored_bytes: int = 0

    def over(self, less: Limits) -> Limits:
        """These, and where one is not set the other's."""
        return Limits(*(mine or others for mine, others in zip(astuple(self), astuple(less), strict=True)))


@dataclass
class Amounts:
    """What was used on a day. `kept_bytes`: by how much what is kept has grown."""

    requests: int = 0
    tokens: int = 0
    kept_bytes: int = 0


def limits_of(connection: Connection, tenant: Tenant) -> Limits:
    """The user's own, and where one is not set the account's."""
    rows = connection.execute(
        select(limits).where(
            limits.c.account_id == tenant.account_id, limits.c.user_id.in_((tenant.user_id, EVERYBODY))
        )
    ).all()
    found = {
        row.user_id: Limits(row.requests_per_second, row.live_turns, row.tokens_per_day, row.stored_bytes)
        for row in rows
    }
    return found.get(tenant.user_id, Limits()).over(found.get(EVERYBODY, Limits()))


def set_limits(connection: Connection, tenant: Tenant, wanted: Limits) -> None:
    """In place of those that the user (or EVERYBODY) had."""
    connection.execute(
        delete(limits).where(limits.c.account_id == tenant.account_id, limits.c.user_id == tenant.user_id)
    )
    connection.execute(
        insert(limits).values(
            account_id=tenant.account_id,
            user_id=tenant.user_id,
            requests_per_second=wanted.requests_per_second,
            live_turns=wanted.live_turns,
            tokens_per_day=wanted.tokens_per_day,
            stored_bytes=wanted.stored_bytes,
        )
    )


def used(connection: Connection, tenant: Tenant, day: int) -> Amounts:
    """The day's requests and tokens, and the bytes that are kept by now."""
    mine = (usage.c.account_id == tenant.account_id) & (usage.c.user_id == tenant.user_id)
    kept = connection.execute(select(func.sum(usage.c.bytes)).where(mine)).scalar() or 0
    row = connection.execute(select(usage).where(mine, usage.c.day == day)).one_or_none()
    return Amounts(row.requests if row else 0, row.tokens if row else 0, int(kept))


def add(connection: Connection, amounts: Mapping[tuple[Tenant, int], Amounts]) -> None:
    """`amounts`: (whose, the day) → what is to be added."""
    for (tenant, day), more in amounts.items():
        changed = connection.execute(
            update(usage)
            .where(usage.c.account_id == tenant.account_id, usage.c.user_id == tenant.user_id, usage.c.day == day)
            .values(
                requests=usage.c.requests + more.requests,
                tokens=usage.c.tokens + more.tokens,
                bytes=usage.c.bytes + more.kept_bytes,
            )
        )
        if changed.rowcount == 0:
            connection.execute(
                insert(usage).values(
                    account_id=tenant.account_id,
                    user_id=tenant.user_id,
                    day=day,
                    requests=more.requests,
                    tokens=more.tokens,
                    bytes=more.kept_bytes,
                )
            )


def set_kept(connection: Connection, tenant: Tenant, day: int, kept_bytes: int) -> None:
    """Corrects what is kept by now to what was counted."""
    known = used(connection, tenant, day).kept_bytes
    add(connection, {(tenant, day): Amounts(kept_bytes=kept_bytes - known)})


def remove(connection: Connection, tenant: Tenant) -> int:
    """Deletes a user's limits and usage; gives the number of rows."""
    return sum(
        connection.execute(
            delete(table).where(table.c.account_id == tenant.account_id, table.c.user_id == tenant.user_id)
        ).rowcount
        for table in (limits, usage)
    )
