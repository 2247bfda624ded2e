"""Writes that can be sent twice: what a `request_id` did is noted, and not done again."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, insert, select

from archival_service.stores.rows import owned, owner
from archival_service.stores.tables import requests
from servicekit.principal import Tenant
from triptych.errors import FailedPrecondition
from triptych.type.v1 import type_pb2


def digest(*parts: bytes) -> str:
    """A hash that differs if any part does."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def answered(connection: Connection, tenant: Tenant, request_id: str, content: str) -> str | None:
    """What was noted for this request, or None if it is new. `content`: the digest of what it asks for.

    Raises: FailedPrecondition REQUEST_ID_REUSED if it asked for something else then.
    """
    if not request_id:
        return None
    query = select(requests.c.request_hash, requests.c.result)
    known = connection.execute(query.where(owned(requests, tenant), requests.c.request_id == request_id)).one_or_none()
    if known is None:
        return None
    check_same(known.request_hash, content)
    result: str = known.result
    return result


def note(connection: Connection, tenant: Tenant, request_id: str, content: str, result: str) -> None:
    """Keeps the answer in short: ids and counts, and nothing that the user wrote."""
    if request_id:
        connection.execute(
            insert(requests).values(**owner(tenant), request_id=request_id, request_hash=content, result=result)
        )


def check_same(known: str, content: str) -> None:
    """Raises: FailedPrecondition REQUEST_ID_REUSED unless both digests are the same."""
    if known != content:
        raise FailedPrecondition(
            "request_id: was used before for something else", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
        )
