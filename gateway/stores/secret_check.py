"""Notices a gateway that is started with another secret than its store's keys were made with."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from gateway.secret import ServerSecret
from gateway.stores.tables import secret_check
from servicekit.sql import StoreError


def check(connection: Connection, server: ServerSecret) -> None:
    """Keeps a digest of the secret at the first start. Raises: StoreError if it is another now."""
    digest = server.derived("check").hex()
    known = connection.execute(select(secret_check.c.digest)).scalar()
    if known is None:
        connection.execute(insert(secret_check).values(id=1, digest=digest))
    elif known != digest:
        raise StoreError(
            "the gateway's secret is not the one that this store's API keys were made with: put back the file of "
            "TRIPTYCH_GATEWAY_SECRET_FILE (if it is not set, of TRIPTYCH_GATEWAY_SIGNING_KEY_FILE)"
        )
