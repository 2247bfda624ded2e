"""What the queries share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ColumnElement, Table, and_

from servicekit.principal import Tenant
from triptych.errors import PermissionDenied

T = TypeVar("T")

# SQLite takes 32,766 parameters in a statement; fewer than this keep it quick to prepare.
_AT_ONCE = 500


def owned(table: Table, tenant: Tenant) -> ColumnElement[bool]:
    return and_(table.c.account_id == tenant.account_id, table.c.user_id == tenant.user_id)


def readable(table: Table, tenant: Tenant) -> ColumnElement[bool]:
    """The owner's rows, and those that its account shares with it."""
    return and_(table.c.account_id == tenant.account_id, table.c.user_id.in_((tenant.user_id, tenant.account.user_id)))


def not_changed_here(resource: str) -> PermissionDenied:
    """What there is to say to a user who would write to what the account shares."""
    return PermissionDenied(f"the {resource} is the account's: it can be read here, and not changed")


def owner(tenant: Tenant) -> dict[str, Any]:
    return {"account_id": tenant.account_id, "user_id": tenant.user_id}


def in_parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in lists short enough for one statement."""
    return (items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE))


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def microseconds(value: Timestamp) -> int:
    return value.seconds * 1_000_000 + value.nanos // 1000


def timestamp(value: int) -> Timestamp:
    return Timestamp(seconds=value // 1_000_000, nanos=value % 1_000_000 * 1000)
