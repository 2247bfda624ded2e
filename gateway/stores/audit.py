"""The audit log of an account: only ever added to, each event chained to the one before by a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from gateway.stores.rows import timestamp
from gateway.stores.tables import audit
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.gateway.v1 import gateway_pb2 as pb

_START = "0" * 64
_INSERT = Prepared(insert(audit))
_END = Prepared(
    select(audit.c.sequence, audit.c.digest)
    .where(audit.c.account_id == bindparam("of_account"))
    .order_by(audit.c.sequence.desc())
    .limit(1)
)


@dataclass(frozen=True)
class Event:
    """`time`: microseconds. `resources`: ids. `outcome`: OK or an error's code. Never a word of what was said."""

    tenant: Tenant
    time: int
    key_id: str
    action: str
    resources: tuple[str, ...]
    outcome: str


def append(connection: Connection, events: Sequence[Event]) -> None:
    """Adds them behind what their accounts have. No other writer may be beside it."""
    ends: dict[str, tuple[int, str]] = {}
    rows = []
    for event in events:
        account_id = event.tenant.account_id
        if account_id not in ends:
            ends[account_id] = _end(connection, account_id)
        sequence, before = ends[account_id][0] + 1, ends[account_id][1]
        digest = chained(before, sequence, event)
        ends[account_id] = (sequence, digest)
        rows.append(
            {
                "account_id": account_id,
                "sequence": sequence,
                "created_at": event.time,
                "user_id": event.tenant.user_id,
                "key_id": event.key_id,
                "action": event.action,
                "resources": list(event.resources),
                "outcome": event.outcome,
                "digest": digest,
            }
        )
    _INSERT.run(connection, *rows)


def chained(before: str, sequence: int, event: Event) -> str:
    """SHA-256 over the digest before and the event, as JSON with sorted keys and no spaces."""
    content = {
        "before": before,
        "sequence": sequence,
        "account": event.tenant.account_id,
        "user": event.tenant.user_id,
        "time": event.time,
        "key": event.key_id,
        "action": event.action,
        "resources": list(event.resources),
        "outcome": event.outcome,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def list_page(connection: Connection, account_id: str, user_id: str, page: Page) -> tuple[list[pb.AuditEvent], str]:
    """Oldest first; of a user, or ('') of the whole account."""
    query = select(audit).where(audit.c.account_id == account_id)
    if user_id:
        query = query.where(audit.c.user_id == user_id)
    if page.cursor is not None:
        query = query.where(audit.c.sequence > page.cursor[0])
    rows = connection.execute(query.order_by(audit.c.sequence).limit(page.size + 1)).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    return [_to_event(row) for row in rows], page.token((rows[-1].sequence,)) if more else ""


def _end(connection: Connection, account_id: str) -> tuple[int, str]:
    row = _END.first(connection, {"of_account": account_id})
    return (row.sequence, row.digest) if row else (0, _START)


def _to_event(row: Any) -> pb.AuditEvent:
    return pb.AuditEvent(
        sequence=row.sequence,
        create_time=timestamp(row.created_at),
        user_id=row.user_id,
        key_id=row.key_id,
        action=row.action,
        resources=row.resources,
        outcome=row.outcome,
        digest=row.digest,
    )
