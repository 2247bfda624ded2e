"""API keys of an account. What is kept of a secret is its HMAC by the server's: a stolen store opens no door."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from gateway.secret import ServerSecret
from gateway.stores import accounts, users
from gateway.stores.rows import fetch, microseconds, now, timestamp
from gateway.stores.tables import keys
from servicekit import ids
from servicekit.paging import Page
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from triptych.gateway.v1 import gateway_pb2 as pb

SECRET_PREFIX = "trip_"  # noqa: S105
_SHOWN = len(SECRET_PREFIX) + 6
_MOST_OVERLAP_SECONDS = 30 * 24 * 3600
_MOST_NAME = 200
_ADMINS = (pb.KEY_KIND_ADMIN, pb.KEY_KIND_OPERATOR)


@dataclass(frozen=True)
class KeyRow:
    """A key that is valid now. `ends`: when it stops to be (microseconds), or None."""

    id: str
    account_id: str
    kind: pb.KeyKind.ValueType
    scope: pb.KeyScope.ValueType
    user_id: str | None
    ends: int | None


@dataclass(frozen=True)
class NewKey:
    """`secret`: the secret that the caller gets. `user_id`: None for an application key."""

    secret: str
    kind: pb.KeyKind.ValueType
    scope: pb.KeyScope.ValueType
    user_id: str | None
    name: str = ""
    request_id: str = ""
    expires_at: int | None = None


def new_secret() -> str:
    """`trip_` and 43 characters of 256 random bits."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def find(connection: Connection, server: ServerSecret, secret: str) -> KeyRow | None:
    """The key of that secret, unless it was revoked or is over."""
    digest, time = server.digest(secret), now()
    row = connection.execute(
        select(keys).where(
            or_(keys.c.digest == digest, and_(keys.c.previous_digest == digest, keys.c.previous_until > time)),
            keys.c.revoked_at.is_(None),
            or_(keys.c.expires_at.is_(None), keys.c.expires_at > time),
        )
    ).one_or_none()
    if row is None:
        return None
    ends = [row.expires_at, row.previous_until if row.digest != digest else None]
    return KeyRow(
        id=row.id,
        account_id=row.account_id,
        kind=pb.KeyKind.ValueType(row.kind),
        scope=_scope(row),
        user_id=row.user_id,
        ends=min((end for end in ends if end is not None), default=None),
    )


def ensure_first(connection: Connection, server: ServerSecret, secret: str) -> None:
    """Makes `secret` an operator key of the default account's default user; a key of that secret stays as it is."""
    digest = server.digest(secret)
    known = connection.execute(select(keys.c.id).where(keys.c.digest == digest)).scalar()
    if known is not None:
        # A version that had no operators made it an admin key. Revoked it stays revoked.
        connection.execute(update(keys).where(keys.c.id == known).values(kind=pb.KEY_KIND_OPERATOR))
        return
    user = users.ensure(connection, accounts.DEFAULT, accounts.DEFAULT)
    _insert(
        connection,
        server,
        accounts.DEFAULT,
        NewKey(secret, pb.KEY_KIND_OPERATOR, pb.KEY_SCOPE_ADMIN, user.id, "first key"),
    )


def create(
    connection: Connection, server: ServerSecret, account_id: str, request: pb.CreateKeyRequest, secret: str
) -> pb.Key:
    """Raises: InvalidArgument; NotFound for the user; AlreadyExists for a replayed `request_id`."""
    _check(request)
    if (
        request.request_id
        and connection.execute(
            select(keys.c.id).where(keys.c.account_id == account_id, keys.c.request_id == request.request_id)
        ).first()
    ):
        raise AlreadyExists("this request_id has made a key already; its secret can't be shown again")
    made = NewKey(
        secret=secret,
        kind=request.kind,
        scope=request.scope or default_scope(request.kind),
        user_id=users.get(connection, account_id, request.user_id).id if request.user_id else None,
        name=request.name,
        request_id=request.request_id,
        expires_at=microseconds(request.expire_time) if request.HasField("expire_time") else None,
    )
    return get(connection, account_id, _insert(connection, server, account_id, made))


def create_admin(connection: Connection, server: ServerSecret, user: pb.User, secret: str) -> pb.Key:
    """The first key of a new account."""
    made = NewKey(secret, pb.KEY_KIND_ADMIN, pb.KEY_SCOPE_ADMIN, user.id, "first key")
    return get(connection, user.account_id, _insert(connection, server, user.account_id, made))


def get(connection: Connection, account_id: str, key_id: str) -> pb.Key:
    """Raises: NotFound."""
    row = connection.execute(select(keys).where(keys.c.account_id == account_id, keys.c.id == key_id)).one_or_none()
    if row is None:
        raise NotFound("key", key_id[:200] or "(none)")
    return _to_key(row)


def list_page(connection: Connection, account_id: str, id_or_name: str, page: Page) -> tuple[list[pb.Key], str]:
    """Raises: NotFound for the user."""
    query = select(keys).where(keys.c.account_id == account_id)
    if id_or_name:
        query = query.where(keys.c.user_id == users.get(connection, account_id, id_or_name).id)
    rows, token = fetch(connection, query, keys, page)
    return [_to_key(row) for row in rows], token


def rotate(
    connection: Connection, server: ServerSecret, account_id: str, request: pb.RotateKeyRequest, secret: str
) -> pb.Key:
    """The old secret is valid for the overlap; one that was already the older of two ends now.

    Raises: NotFound; InvalidArgument; AlreadyExists for a replayed `request_id`; FailedPrecondition for a key that is
    revoked or has expired.
    """
    if not 0 <= request.overlap_seconds <= _MOST_OVERLAP_SECONDS:
        raise InvalidArgument.of("overlap_seconds", f"must be 0 to {_MOST_OVERLAP_SECONDS:,}")
    key = get(connection, account_id, request.key_id)
    if key.HasField("revoke_time"):
        raise FailedPrecondition("the key was revoked: make another")
    if key.HasField("expire_time") and microseconds(key.expire_time) <= now():
        raise FailedPrecondition("the key has expired: make another")
    row = connection.execute(select(keys).where(keys.c.id == request.key_id)).one()
    if request.request_id and row.rotation_request_id == request.request_id:
        raise AlreadyExists("this request_id has rotated the key already; its secret can't be shown again")
    overlap = request.overlap_seconds
    connection.execute(
        update(keys)
        .where(keys.c.id == row.id)
        .values(
            digest=server.digest(secret),
            prefix=secret[:_SHOWN],
            previous_digest=row.digest if overlap else None,
            previous_until=now() + overlap * 1_000_000 if overlap else None,
            rotation_request_id=request.request_id or None,
        )
    )
    return get(connection, account_id, row.id)


def revoke(connection: Connection, account_id: str, key_id: str) -> pb.Key:
    """Revoking it again changes nothing. Raises: NotFound."""
    get(connection, account_id, key_id)
    connection.execute(
        update(keys)
        .where(keys.c.account_id == account_id, keys.c.id == key_id, keys.c.revoked_at.is_(None))
        .values(revoked_at=now())
    )
    return get(connection, account_id, key_id)


def remove_of(connection: Connection, account_id: str, user_id: str) -> int:
    """Deletes a user's keys; gives their number."""
    return connection.execute(delete(keys).where(keys.c.account_id == account_id, keys.c.user_id == user_id)).rowcount


def note_uses(connection: Connection, used: Mapping[str, int]) -> None:
    """`used`: key id → when it was last used."""
    for key_id, time in used.items():
        connection.execute(
            update(keys)
            .where(keys.c.id == key_id, or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < time))
            .values(last_used_at=time)
        )


def add_secret(connection: Connection, server: ServerSecret) -> None:
    """Makes the HMAC of digests that an older version left without."""
    for key_id, digest in connection.execute(select(keys.c.id, keys.c.digest).where(~keys.c.keyed)).all():
        connection.execute(update(keys).where(keys.c.id == key_id).values(digest=server.keyed(digest), keyed=True))


def default_scope(kind: pb.KeyKind.ValueType) -> pb.KeyScope.ValueType:
    return pb.KEY_SCOPE_ADMIN if kind in _ADMINS else pb.KEY_SCOPE_USER


def _check(request: pb.CreateKeyRequest) -> None:
    """Raises: InvalidArgument."""
    if request.kind == pb.KEY_KIND_UNSPECIFIED or request.kind not in pb.KeyKind.values():
        raise InvalidArgument.of("kind", "must be user, application, admin or operator")
    if request.scope not in pb.KeyScope.values():
        raise InvalidArgument.of("scope", "must be user, read-only or admin")
    if request.scope == pb.KEY_SCOPE_ADMIN and request.kind not in _ADMINS:
        raise InvalidArgument.of("scope", "only an admin or operator key may have the scope admin")
    if (request.kind == pb.KEY_KIND_APPLICATION) == bool(request.user_id):
        raise InvalidArgument.of("user_id", "must be given, except for an application key, which has none")
    if len(request.name) > _MOST_NAME:
        raise InvalidArgument.of("name", f"over {_MOST_NAME} characters")
    if request.HasField("expire_time") and microseconds(request.expire_time) <= now():
        raise InvalidArgument.of("expire_time", "must be in the future")


def _insert(connection: Connection, server: ServerSecret, account_id: str, made: NewKey) -> str:
    key_id = ids.new("key")
    connection.execute(
        insert(keys).values(
            id=key_id,
            account_id=account_id,
            digest=server.digest(made.secret),
            keyed=True,
            prefix=made.secret[:_SHOWN],
            kind=made.kind,
            scope=made.scope,
            user_id=made.user_id,
            name=made.name,
            request_id=made.request_id or None,
            created_at=now(),
            expires_at=made.expires_at,
        )
    )
    return key_id


def _scope(row: Any) -> pb.KeyScope.ValueType:
    kind = pb.KeyKind.ValueType(row.kind)
    return pb.KeyScope.ValueType(row.scope) or default_scope(kind)


def _to_key(row: Any) -> pb.Key:
    return pb.Key(
        id=row.id,
        prefix=row.prefix,
        kind=pb.KeyKind.ValueType(row.kind),
        user_id=row.user_id or "",
        name=row.name,
        create_time=timestamp(row.created_at),
        revoke_time=timestamp(row.revoked_at),
        scope=_scope(row),
        expire_time=timestamp(row.expires_at),
        last_use_time=timestamp(row.last_used_at),
        overlap_end_time=timestamp(row.previous_until),
    )
