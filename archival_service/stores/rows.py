"""What the queries share."""

from __future__ import annotations

import time
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ColumnElement, Table, and_

from servicekit.principal import Tenant


def owned(table: Table, tenant: Tenant) -> ColumnElement[bool]:
    return and_(table.c.account_id == tenant.account_id, table.c.user_id == tenant.user_id)


def owner(tenant: Tenant) -> dict[str, Any]:
    return {"account_id": tenant.account_id, "user_id": tenant.user_id}


def now() -> int:
    return time.time_ns() // 1000


def microseconds(value: Timestamp) -> int:
    return value.seconds * 1_000_000 + value.nanos // 1000


def timestamp(value: int) -> Timestamp:
    return Timestamp(seconds=value // 1_000_000, nanos=value % 1_000_000 * 1000)
