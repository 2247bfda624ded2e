"""Erasures of users: jobs while they are under way, receipts afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from gateway.stores.rows import now, timestamp
from gateway.stores.tables import erasures
from servicekit import ids
from servicekit.principal import Tenant
from triptych.errors import NotFound
from triptych.gateway.v1 import gateway_pb2 as pb


def begin(connection: Connection, tenant: Tenant) -> pb.Erasure:
    """The user's erasure, which begins now if it has not begun."""
    try:
        return get(connection, tenant.account_id, tenant.user_id)
    except NotFound:
        erasure_id = ids.derived("erasure", *tenant)
        connection.execute(
            insert(erasures).values(
                id=erasure_id, account_id=tenant.account_id, user_id=tenant.user_id, created_at=now(), removed={}
            )
        )
        return get(connection, tenant.account_id, erasure_id)


def get(connection: Connection, account_id: str, erasure_or_user_id: str) -> pb.Erasure:
    """Raises: NotFound."""
    row = connection.execute(
        select(erasures)
        .where(erasures.c.account_id == account_id)
        .where(or_(erasures.c.id == erasure_or_user_id, erasures.c.user_id == erasure_or_user_id))
    ).one_or_none()
    if row is None:
        raise NotFound("erasure", erasure_or_user_id[:200] or "(none)")
    return _to_erasure(row)


def unfinished(connection: Connection) -> list[tuple[Tenant, str]]:
    """Every account's: whose, and the erasure's id."""
    rows = connection.execute(
        select(erasures).where(erasures.c.ended_at.is_(None)).order_by(erasures.c.created_at)
    ).all()
    return [(Tenant(row.account_id, row.user_id), row.id) for row in rows]


def unswept(connection: Connection, before: int) -> list[tuple[Tenant, str]]:
    """As `unfinished`: those that ended before a time (microseconds) and were not swept yet."""
    due = (erasures.c.ended_at < before) & erasures.c.swept_at.is_(None)
    rows = connection.execute(select(erasures).where(due).order_by(erasures.c.created_at)).all()
    return [(Tenant(row.account_id, row.user_id), row.id) for row in rows]


def sweep(connection: Connection, tenant: Tenant, removed: Mapping[str, int]) -> None:
    """Adds what was removed behind an erasure to what it removed, once."""
    unswept_ = _of(tenant) & erasures.c.swept_at.is_(None)
    before = connection.execute(select(erasures.c.removed).where(unswept_)).scalar_one_or_none()
    if before is None:  # another gateway was faster
        return
    total = {kind: before.get(kind, 0) + removed.get(kind, 0) for kind in {**before, **removed}}
    connection.execute(update(erasures).where(unswept_).values(removed=total, swept_at=now()))


def note(connection: Connection, tenant: Tenant, removed: Mapping[str, int], *, ended: bool = False) -> None:
    """Sets how much of each kind was removed."""
    mine = _of(tenant)
    before = connection.execute(select(erasures.c.removed).where(mine)).scalar_one()
    values: dict[str, Any] = {"removed": {**before, **removed}}
    connection.execute(update(erasures).where(mine).values(values | ({"ended_at": now()} if ended else {})))


def _of(tenant: Tenant) -> ColumnElement[bool]:
    return (erasures.c.account_id == tenant.account_id) & (erasures.c.user_id == tenant.user_id)


def _to_erasure(row: Any) -> pb.Erasure:
    return pb.Erasure(
        id=row.id,
        user_id=row.user_id,
        create_time=timestamp(row.created_at),
        end_time=timestamp(row.ended_at),
        removed=row.removed,
    )
