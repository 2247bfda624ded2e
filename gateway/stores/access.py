"""Users and keys of an account."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, insert, or_, select, tuple_, update

from gateway.stores.tables import keys, users
from servicekit import ids
from servicekit.paging import Page
from triptych.errors import AlreadyExists, InvalidArgument, NotFound
from triptych.gateway.v1 import gateway_pb2 as pb

SECRET_PREFIX = "trip_"  # noqa: S105
DEFAULT_ACCOUNT = "default"
DEFAULT_USER = "default"
_SHOWN = len(SECRET_PREFIX) + 6


@dataclass(frozen=True)
class KeyRow:
    id: str
    account_id: str
    kind: pb.KeyKind.ValueType
    user_id: str | None


def new_secret() -> str:
    """`trip_` and 43 characters of 256 random bits."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def find_key(connection: Connection, secret: str) -> KeyRow | None:
    """The key of that secret, unless it was revoked."""
    row = connection.execute(
        select(keys).where(keys.c.digest == _digest(secret), keys.c.revoked_at.is_(None))
    ).one_or_none()
    return KeyRow(row.id, row.account_id, pb.KeyKind.ValueType(row.kind), row.user_id) if row else None


def ensure_first_key(connection: Connection, secret: str) -> None:
    """Makes `secret` an admin key of the default account's default user, unless there is such a key, revoked or not."""
    if connection.execute(select(keys.c.id).where(keys.c.digest == _digest(secret))).scalar() is not None:
        return
    try:
        user = get_user(connection, DEFAULT_ACCOUNT, DEFAULT_USER)
    except NotFound:
        user = create_user(connection, DEFAULT_ACCOUNT, DEFAULT_USER, "")
    _insert_key(connection, DEFAULT_ACCOUNT, secret, pb.KEY_KIND_ADMIN, user.id, "first key", "")


def create_user(connection: Connection, account_id: str, name: str, request_id: str) -> pb.User:
    """A replay of the `request_id` gives the user it made. Raises: AlreadyExists for a name that is taken."""
    if not 1 <= len(name) <= 200 or not name.isprintable() or name.startswith("user-"):
        raise InvalidArgument.of("name", "must be 1 to 200 printable characters, and not begin with user-")
    if request_id:
        made = connection.execute(
            select(users).where(users.c.account_id == account_id, users.c.request_id == request_id)
        ).one_or_none()
        if made is not None:
            return _to_user(made)
    if connection.execute(select(users.c.id).where(users.c.account_id == account_id, users.c.name == name)).first():
        raise AlreadyExists(f"there is a user named {name} already")
    user_id = ids.new("user")
    connection.execute(
        insert(users).values(
            id=user_id, account_id=account_id, name=name, request_id=request_id or None, created_at=_now()
        )
    )
    return get_user(connection, account_id, user_id)


def get_user(connection: Connection, account_id: str, id_or_name: str) -> pb.User:
    """Raises: NotFound."""
    row = connection.execute(
        select(users).where(users.c.account_id == account_id, or_(users.c.id == id_or_name, users.c.name == id_or_name))
    ).one_or_none()
    if row is None:
        raise NotFound("user", id_or_name)
    return _to_user(row)


def list_users(connection: Connection, account_id: str, page: Page) -> tuple[list[pb.User], str]:
    query = select(users).where(users.c.account_id == account_id)
    rows, token = _page(connection, query, users, page)
    return [_to_user(row) for row in rows], token


def create_key(connection: Connection, account_id: str, request: pb.CreateKeyRequest, secret: str) -> pb.Key:
    """Raises: InvalidArgument; NotFound for the user; AlreadyExists for a replayed `request_id`."""
    if request.kind == pb.KEY_KIND_UNSPECIFIED:
        raise InvalidArgument.of("kind", "must be user, application or admin")
    if (request.kind == pb.KEY_KIND_APPLICATION) == bool(request.user_id):
        raise InvalidArgument.of("user_id", "must be given, except for an application key, which has none")
    if (
        request.request_id
        and connection.execute(
            select(keys.c.id).where(keys.c.account_id == account_id, keys.c.request_id == request.request_id)
        ).first()
    ):
        raise AlreadyExists("this request_id has made a key already; its secret can't be shown again")
    user_id = get_user(connection, account_id, request.user_id).id if request.user_id else None
    key_id = _insert_key(connection, account_id, secret, request.kind, user_id, request.name, request.request_id)
    return _get_key(connection, account_id, key_id)


def list_keys(connection: Connection, account_id: str, id_or_name: str, page: Page) -> tuple[list[pb.Key], str]:
    """Raises: NotFound for the user."""
    query = select(keys).where(keys.c.account_id == account_id)
    if id_or_name:
        query = query.where(keys.c.user_id == get_user(connection, account_id, id_or_name).id)
    rows, token = _page(connection, query, keys, page)
    return [_to_key(row) for row in rows], token


def revoke_key(connection: Connection, account_id: str, key_id: str) -> pb.Key:
    """Revoking it again changes nothing. Raises: NotFound."""
    _get_key(connection, account_id, key_id)
    connection.execute(
        update(keys)
        .where(keys.c.account_id == account_id, keys.c.id == key_id, keys.c.revoked_at.is_(None))
        .values(revoked_at=_now())
    )
    return _get_key(connection, account_id, key_id)


def _insert_key(
    connection: Connection,
    account_id: str,
    secret: str,
    kind: pb.KeyKind.ValueType,
    user_id: str | None,
    name: str,
    request_id: str,
) -> str:
    key_id = ids.new("key")
    connection.execute(
        insert(keys).values(
            id=key_id,
            account_id=account_id,
            digest=_digest(secret),
            prefix=secret[:_SHOWN],
            kind=kind,
            user_id=user_id,
            name=name,
            request_id=request_id or None,
            created_at=_now(),
        )
    )
    return key_id


def _get_key(connection: Connection, account_id: str, key_id: str) -> pb.Key:
    row = connection.execute(select(keys).where(keys.c.account_id == account_id, keys.c.id == key_id)).one_or_none()
    if row is None:
        raise NotFound("key", key_id)
    return _to_key(row)


def _page(connection: Connection, query: Any, table: Any, page: Page) -> tuple[Any, str]:
    key = tuple_(table.c.created_at, table.c.id)
    if page.cursor is not None:
        query = query.where(key > page.cursor)
    rows = connection.execute(query.order_by(table.c.created_at, table.c.id).limit(page.size + 1)).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    return rows, page.token((rows[-1].created_at, rows[-1].id)) if more else ""


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _now() -> int:
    return time.time_ns() // 1000


def _timestamp(value: int) -> Timestamp:
    return Timestamp(seconds=value // 1_000_000, nanos=value % 1_000_000 * 1000)


def _to_user(row: Any) -> pb.User:
    return pb.User(id=row.id, account_id=row.account_id, name=row.name, create_time=_timestamp(row.created_at))


def _to_key(row: Any) -> pb.Key:
    return pb.Key(
        id=row.id,
        prefix=row.prefix,
        kind=pb.KeyKind.ValueType(row.kind),
        user_id=row.user_id or "",
        name=row.name,
        create_time=_timestamp(row.created_at),
        revoke_time=_timestamp(row.revoked_at) if row.revoked_at else None,
    )
