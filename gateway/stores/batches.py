"""Batches of turns: what is to be run, and what has become of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, tuple_, update

from gateway.stores.rows import now
from gateway.stores.tables import batch_items, batches, users
from servicekit import ids
from servicekit.principal import Tenant
from triptych.agent.v1.turn_pb2 import StartTurnRequest
from triptych.errors import FailedPrecondition, NotFound
from triptych.type.v1 import type_pb2

MAX_UNFINISHED = 20


class State(IntEnum):
    """Of one of a batch's turns."""

    WAITING = 0
    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELLED = 4


@dataclass(frozen=True)
class Item:
    """`start`: what starts its turn, None when that was accepted. `turn_id`: '' before."""

    position: int
    agent_id: str
    state: State
    start: StartTurnRequest | None
    turn_id: str


@dataclass(frozen=True)
class Batch:
    """Times are microseconds. `counts`: how many of its turns are in each state."""

    tenant: Tenant
    id: str
    created_at: int
    ended_at: int | None
    cancelled: bool
    counts: dict[State, int] = field(default_factory=dict)


def create(connection: Connection, tenant: Tenant, starts: Sequence[StartTurnRequest], request_id: str) -> Batch:
    """A replay of the `request_id` gives the batch that it made.

    Raises: FailedPrecondition REQUEST_ID_REUSED, and at 20 batches that are not over.
    """
    digest = _digest(starts)
    known = connection.execute(
        select(batches).where(_owned(batches, tenant), batches.c.request_id == request_id)
    ).one_or_none()
    if known is not None:
        if known.request_hash != digest:
            raise FailedPrecondition(
                "request_id: was used before for another batch", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
            )
        return get(connection, tenant, known.id)
    live = select(func.count()).select_from(batches).where(_owned(batches, tenant), batches.c.ended_at.is_(None))
    if connection.execute(live).scalar_one() >= MAX_UNFINISHED:
        raise FailedPrecondition(f"a user has at most {MAX_UNFINISHED} batches under way")
    batch_id = ids.new("batch")
    owner = {"account_id": tenant.account_id, "user_id": tenant.user_id}
    connection.execute(
        insert(batches).values(
            **owner, id=batch_id, created_at=now(), cancelled=False, request_id=request_id, request_hash=digest
        )
    )
    rows = [
        {
            **owner,
            "batch_id": batch_id,
            "position": position,
            "agent_id": start.agent_id,
            "state": State.WAITING,
            "start": _named(start, f"{batch_id}/{position}").SerializeToString(),
        }
        for position, start in enumerate(starts)
    ]
    connection.execute(insert(batch_items), rows)
    return get(connection, tenant, batch_id)


def get(connection: Connection, tenant: Tenant, batch_id: str) -> Batch:
    """Raises: NotFound."""
    query = select(batches).where(_owned(batches, tenant), batches.c.id == batch_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("batch", batch_id[:200])
    return _to_batch(row, _counts(connection, tenant, [row.id]))


def list_next(
    connection: Connection, tenant: Tenant, size: int, *, before_id: str, after_id: str, descending: bool
) -> list[Batch]:
    """At most `size`, by the time of making, next to the batches of these ids ('': from the start)."""
    query, key = select(batches).where(_owned(batches, tenant)), tuple_(batches.c.created_at, batches.c.id)
    for anchor_id, behind in ((after_id, True), (before_id, False)):
        if not anchor_id:
            continue
        anchor = connection.execute(
            select(batches.c.created_at, batches.c.id).where(_owned(batches, tenant), batches.c.id == anchor_id)
        ).one_or_none()
        if anchor is None:
            return []
        query = query.where(key < tuple(anchor) if descending is behind else key > tuple(anchor))
    backwards = bool(before_id) and not after_id
    ends = (batches.c.created_at, batches.c.id)
    order = [end.desc() for end in ends] if descending is not backwards else list(ends)
    rows = connection.execute(query.order_by(*order).limit(size)).all()
    counts = _counts(connection, tenant, [row.id for row in rows])
    return [_to_batch(row, counts) for row in (rows[::-1] if backwards else rows)]


def items(connection: Connection, tenant: Tenant, batch_id: str, agent_id: str = "") -> list[Item]:
    """In their order; of one agent, or all. Raises: NotFound."""
    get(connection, tenant, batch_id)
    query = select(batch_items).where(_owned(batch_items, tenant), batch_items.c.batch_id == batch_id)
    if agent_id:
        query = query.where(batch_items.c.agent_id == agent_id)
    return [_to_item(row) for row in connection.execute(query.order_by(batch_items.c.position))]


def unfinished(connection: Connection) -> list[tuple[Tenant, str]]:
    """Every account's, oldest first, but for those of users who are disabled."""
    rows = connection.execute(
        select(batches.c.account_id, batches.c.user_id, batches.c.id)
        .join(users, and_(users.c.account_id == batches.c.account_id, users.c.id == batches.c.user_id))
        .where(batches.c.ended_at.is_(None), users.c.disabled_at.is_(None))
        .order_by(batches.c.created_at)
    ).all()
    return [(Tenant(row.account_id, row.user_id), row.id) for row in rows]


def may_run(connection: Connection, tenant: Tenant, batch_id: str, position: int) -> Item | None:
    """The item if it has not ended and, unless it runs already, its user may act; else None."""
    query = (
        select(batch_items, users.c.disabled_at)
        .join(users, and_(users.c.account_id == batch_items.c.account_id, users.c.id == batch_items.c.user_id))
        .where(_owned(batch_items, tenant), batch_items.c.batch_id == batch_id, batch_items.c.position == position)
        .where(batch_items.c.state.in_([State.WAITING, State.RUNNING]))
    )
    row = connection.execute(query).one_or_none()
    return None if row is None or (row.disabled_at is not None and not row.turn_id) else _to_item(row)


def accepted(connection: Connection, tenant: Tenant, batch_id: str, position: int, turn_id: str) -> bool:
    """Notes which turn it is; what was said is agent_service's from now on. False: it was cancelled meanwhile."""
    return _set(connection, tenant, batch_id, position, turn_id=turn_id, state=State.RUNNING, start=None)


def ended(connection: Connection, tenant: Tenant, batch_id: str, position: int, state: State) -> None:
    _set(connection, tenant, batch_id, position, state=state, start=None)


def cancel(connection: Connection, tenant: Tenant, batch_id: str) -> list[str]:
    """Nothing more of it is started; gives the turns that run. One that is over stays as it is. Raises: NotFound."""
    if get(connection, tenant, batch_id).ended_at is not None:
        return []
    mine = and_(_owned(batch_items, tenant), batch_items.c.batch_id == batch_id)
    connection.execute(update(batches).where(_owned(batches, tenant), batches.c.id == batch_id).values(cancelled=True))
    connection.execute(
        update(batch_items).where(mine, batch_items.c.state == State.WAITING).values(state=State.CANCELLED, start=None)
    )
    running = select(batch_items.c.turn_id).where(mine, batch_items.c.state == State.RUNNING)
    turn_ids = [turn_id for turn_id in connection.execute(running).scalars() if turn_id]
    close(connection, tenant, batch_id)
    return turn_ids


def close(connection: Connection, tenant: Tenant, batch_id: str) -> bool:
    """Notes its end if none of its turns is still to end; gives whether it is over."""
    open_items = select(batch_items.c.position).where(
        _owned(batch_items, tenant),
        batch_items.c.batch_id == batch_id,
        batch_items.c.state.in_([State.WAITING, State.RUNNING]),
    )
    if connection.execute(open_items.limit(1)).first() is not None:
        return False
    connection.execute(
        update(batches)
        .where(_owned(batches, tenant), batches.c.id == batch_id, batches.c.ended_at.is_(None))
        .values(ended_at=now())
    )
    return True


def remove_of(connection: Connection, tenant: Tenant) -> int:
    """Deletes a user's batches; gives the number of rows."""
    return sum(
        connection.execute(delete(table).where(_owned(table, tenant))).rowcount for table in (batch_items, batches)
    )


def _owned(table: Any, tenant: Tenant) -> Any:
    return and_(table.c.account_id == tenant.account_id, table.c.user_id == tenant.user_id)


def _set(connection: Connection, tenant: Tenant, batch_id: str, position: int, **values: Any) -> bool:
    """Of an item that has not ended: what was cancelled or has ended meanwhile stays so, and False is given."""
    changed = connection.execute(
        update(batch_items)
        .where(_owned(batch_items, tenant), batch_items.c.batch_id == batch_id, batch_items.c.position == position)
        .where(batch_items.c.state.in_([State.WAITING, State.RUNNING]))
        .values(values)
    )
    return changed.rowcount > 0


def _counts(connection: Connection, tenant: Tenant, batch_ids: Sequence[str]) -> dict[str, dict[State, int]]:
    query = (
        select(batch_items.c.batch_id, batch_items.c.state, func.count().label("number"))
        .where(_owned(batch_items, tenant), batch_items.c.batch_id.in_(batch_ids))
        .group_by(batch_items.c.batch_id, batch_items.c.state)
    )
    found: dict[str, dict[State, int]] = {}
    for row in connection.execute(query):
        found.setdefault(row.batch_id, {})[State(row.state)] = row.number
    return found


def _named(start: StartTurnRequest, request_id: str) -> StartTurnRequest:
    """With an id of its own: however often it is started, it is one turn."""
    named = StartTurnRequest()
    named.CopyFrom(start)
    named.request_id, named.background = request_id, True
    return named


def _digest(starts: Sequence[StartTurnRequest]) -> str:
    content = hashlib.sha256()
    for start in starts:
        raw = _named(start, "").SerializeToString(deterministic=True)
        content.update(len(raw).to_bytes(8, "big") + raw)
    return content.hexdigest()


def _to_batch(row: Row[Any], counts: dict[str, dict[State, int]]) -> Batch:
    tenant = Tenant(row.account_id, row.user_id)
    return Batch(tenant, row.id, row.created_at, row.ended_at, row.cancelled, counts.get(row.id, {}))


def _to_item(row: Row[Any]) -> Item:
    start = StartTurnRequest.FromString(row.start) if row.start else None
    return Item(row.position, row.agent_id, State(row.state), start, row.turn_id or "")
