"""Which requests were carried out already: what is sent again under its `request_id` has no effect again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from google.protobuf.message import Message
from sqlalchemy import Connection, delete, insert, select

from gateway.stores.rows import now
from gateway.stores.tables import requests
from servicekit.principal import Tenant
from triptych.errors import FailedPrecondition, InvalidArgument
from triptych.type.v1 import type_pb2

MAX_REQUEST_ID = 200


def check_id(request_id: str, *, needed: bool = False) -> None:
    """Raises: InvalidArgument."""
    if len(request_id) > MAX_REQUEST_ID or "\0" in request_id or (needed and not request_id):
        least = "1 to" if needed else "at most"
        raise InvalidArgument.of("request_id", f"must be {least} {MAX_REQUEST_ID} characters, without NUL")


@dataclass(frozen=True)
class Once:
    """A request by its `request_id`. Without an id it is new each time it is sent. `content`: all that it says."""

    tenant: Tenant
    method: str
    request_id: str
    content: bytes = field(repr=False)

    @classmethod
    def of(cls, tenant: Tenant, request: Message, request_id: str) -> Once:
        return cls(tenant, request.DESCRIPTOR.name, request_id, request.SerializeToString(deterministic=True))

    def answered(self, connection: Connection) -> bytes | None:
        """What it was answered, if that was kept, else b''; None if it is new.

        Raises: InvalidArgument (id too long), FailedPrecondition REQUEST_ID_REUSED (it was another request then).
        """
        check_id(self.request_id)
        if not self.request_id:
            return None
        query = select(requests.c.request_hash, requests.c.response).filter_by(**self._key)
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if row.request_hash != self._digest:
            raise FailedPrecondition(
                "request_id: was used before for another request", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
            )
        return row.response or b""

    def known(self, connection: Connection) -> bool:
        """Whether it was carried out before. Raises: as `answered`."""
        return self.answered(connection) is not None

    def first(self, connection: Connection, response: Message | None = None) -> bool:
        """Whether it is new; from this transaction on it is not. Raises: as `answered`."""
        if self.known(connection):
            return False
        if self.request_id:
            kept = None if response is None else response.SerializeToString()
            values = {"request_hash": self._digest, "response": kept, "created_at": now()}
            connection.execute(insert(requests).values(**self._key, **values))
        return True

    @property
    def _key(self) -> dict[str, str]:
        return {
            "account_id": self.tenant.account_id,
            "user_id": self.tenant.user_id,
            "method": self.method,
            "request_id": self.request_id,
        }

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def remove_of(connection: Connection, tenant: Tenant) -> int:
    """Deletes a user's; gives the number of rows."""
    mine = {"account_id": tenant.account_id, "user_id": tenant.user_id}
    return connection.execute(delete(requests).filter_by(**mine)).rowcount
