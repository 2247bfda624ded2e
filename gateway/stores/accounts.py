"""Accounts: an operator's matter, and the only thing here that is not within one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from gateway.stores.rows import fetch, now, timestamp
from gateway.stores.tables import accounts
from servicekit import ids
from servicekit.paging import Page
from triptych.errors import AlreadyExists, InvalidArgument
from triptych.gateway.v1 import gateway_pb2 as pb

DEFAULT = "default"


def create(connection: Connection, name: str, request_id: str) -> pb.Account:
    """Raises: InvalidArgument; AlreadyExists for a name that is taken, and for a replay of the `request_id`."""
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidArgument.of("name", "must be 1 to 200 printable characters")
    if request_id and connection.execute(select(accounts.c.id).where(accounts.c.request_id == request_id)).first():
        raise AlreadyExists("this request_id has made an account already; its key can't be shown again")
    if connection.execute(select(accounts.c.id).where(accounts.c.name == name)).first():
        raise AlreadyExists(f"there is an account named {name} already")
    account_id = ids.new("account")
    connection.execute(
        insert(accounts).values(id=account_id, name=name, request_id=request_id or None, created_at=now())
    )
    return _to_account(connection.execute(select(accounts).where(accounts.c.id == account_id)).one())


def list_page(connection: Connection, page: Page) -> tuple[list[pb.Account], str]:
    rows, token = fetch(connection, select(accounts), accounts, page)
    return [_to_account(row) for row in rows], token


def _to_account(row: Any) -> pb.Account:
    return pb.Account(id=row.id, name=row.name, create_time=timestamp(row.created_at))
