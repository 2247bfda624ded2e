"""Writes that can be sent twice: what was answered to a `request_id` is kept and answered again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection, insert, select

from agent_service import clock
from agent_service.stores.rows import owned, owner
from agent_service.stores.tables import requests
from servicekit.principal import Tenant
from triptych.errors import FailedPrecondition, InvalidArgument
from triptych.type.v1 import type_pb2

Response = TypeVar("Response", bound=Message)

MAX_REQUEST_ID = 200


def digest(request: Message) -> str:
    """A hash of the request's content, and its kind."""
    raw = request.DESCRIPTOR.full_name.encode() + b"\0" + request.SerializeToString(deterministic=True)
    return hashlib.sha256(raw).hexdigest()


def once(
    connection: Connection,
    tenant: Tenant,
    request_id: str,
    request: Message,
    response_type: type[Response],
    work: Callable[[], Response],
) -> Response:
    """Does `work` unless this `request_id` was answered before; then gives that answer. Without an id: always does it.

    Raises: InvalidArgument (id too long), FailedPrecondition REQUEST_ID_REUSED (the request was another then).
    """
    if not request_id:
        return work()
    known = answered(connection, tenant, request_id, request, response_type)
    if known is not None:
        return known
    response = work()
    connection.execute(
        insert(requests).values(
            **owner(tenant),
            request_id=request_id,
            request_hash=digest(request),
            response=response.SerializeToString(),
            created_at=clock.now(),
        )
    )
    return response


def answered(
    connection: Connection, tenant: Tenant, request_id: str, request: Message, response_type: type[Response]
) -> Response | None:
    """What this `request_id` was answered, None if it is new or empty. Raises: as `once`."""
    if not request_id:
        return None
    if len(request_id) > MAX_REQUEST_ID:
        raise InvalidArgument.of("request_id", f"longer than {MAX_REQUEST_ID} characters")
    query = select(requests.c.request_hash, requests.c.response)
    known = connection.execute(query.where(owned(requests, tenant), requests.c.request_id == request_id)).one_or_none()
    if known is None:
        return None
    check_same(known.request_hash, request)
    return response_type.FromString(known.response)


def check_same(known_hash: str, request: Message) -> None:
    """Raises: FailedPrecondition REQUEST_ID_REUSED unless the request is the one of that hash."""
    if known_hash != digest(request):
        raise FailedPrecondition(
            "request_id: was used before for another request", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
        )
