"""Users of an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import Connection, delete, insert, or_, select, update

from gateway.stores.rows import fetch, now, timestamp
from gateway.stores.tables import users
from servicekit import ids
from servicekit.paging import Page
from triptych import ACCOUNT
from triptych.errors import AlreadyExists, InvalidArgument, NotFound
from triptych.gateway.v1 import gateway_pb2 as pb

_MOST_METADATA_BYTES = 16 * 1024


def create(
    connection: Connection, account_id: str, name: str, request_id: str = "", notes: Struct | None = None
) -> pb.User:
    """A replay of the `request_id` gives the user it made.

    Raises: InvalidArgument; AlreadyExists for a name that is taken.
    """
    _check_name(name)
    if request_id:
        made = connection.execute(
            select(users).where(users.c.account_id == account_id, users.c.request_id == request_id)
        ).one_or_none()
        if made is not None:
            return _to_user(made)
    _check_free(connection, account_id, name)
    user_id = ids.new("user")
    connection.execute(
        insert(users).values(
            id=user_id,
            account_id=account_id,
            name=name,
            request_id=request_id or None,
            created_at=now(),
            notes=_notes(notes),
        )
    )
    return get(connection, account_id, user_id)


def ensure(connection: Connection, account_id: str, id_or_name: str) -> pb.User:
    """The user; one of a name not seen before is made. Raises: NotFound for an id; InvalidArgument for a bad name."""
    try:
        return get(connection, account_id, id_or_name)
    except NotFound:
        if ids.valid("user", id_or_name):
            raise
        return create(connection, account_id, id_or_name)


def get(connection: Connection, account_id: str, id_or_name: str) -> pb.User:
    """Raises: NotFound."""
    row = connection.execute(
        select(users).where(users.c.account_id == account_id, or_(users.c.id == id_or_name, users.c.name == id_or_name))
    ).one_or_none()
    if row is None:
        raise NotFound("user", id_or_name[:200] or "(none)")
    return _to_user(row)


def get_or_account(connection: Connection, account_id: str, id_or_name: str) -> pb.User:
    """The same for the account itself too, which owns what it shares with its users. Raises: NotFound."""
    if id_or_name == ACCOUNT:
        return pb.User(id=ACCOUNT, account_id=account_id)
    return get(connection, account_id, id_or_name)


def list_page(connection: Connection, account_id: str, page: Page) -> tuple[list[pb.User], str]:
    rows, token = fetch(connection, select(users).where(users.c.account_id == account_id), users, page)
    return [_to_user(row) for row in rows], token


def change(connection: Connection, account_id: str, wanted: pb.User, paths: Sequence[str]) -> pb.User:
    """Sets the fields at `paths`: name, metadata, disabled. Raises: NotFound, InvalidArgument, AlreadyExists."""
    user, values = get(connection, account_id, wanted.id), dict[str, Any]()
    for path in paths:
        if path == "name":
            _check_name(wanted.name)
            if wanted.name != user.name:
                _check_free(connection, account_id, wanted.name)
            values["name"] = wanted.name
        elif path == "metadata":
            values["notes"] = _notes(wanted.metadata)
        elif path == "disabled":
            if wanted.disabled != user.disabled:
                values["disabled_at"] = now() if wanted.disabled else None
        else:
            raise InvalidArgument.of("update_mask", "may have name, metadata and disabled")
    if values:
        connection.execute(update(users).where(users.c.id == user.id).values(values))
    return get(connection, account_id, user.id)


def remove(connection: Connection, account_id: str, user_id: str) -> int:
    """The number of rows removed: 0 or 1."""
    return connection.execute(delete(users).where(users.c.account_id == account_id, users.c.id == user_id)).rowcount


def _check_name(name: str) -> None:
    """Raises: InvalidArgument."""
    if not 1 <= len(name) <= 200 or not name.isprintable() or name.startswith("user-") or name != name.strip():
        raise InvalidArgument.of(
            "name", "must be 1 to 200 printable characters, without spaces around, and not begin with user-"
        )


def _check_free(connection: Connection, account_id: str, name: str) -> None:
    """Raises: AlreadyExists."""
    if connection.execute(select(users.c.id).where(users.c.account_id == account_id, users.c.name == name)).first():
        raise AlreadyExists(f"there is a user named {name} already")


def _notes(metadata: Struct | None) -> dict[str, Any] | None:
    """Raises: InvalidArgument if it is too large."""
    if metadata is None or not metadata.fields:
        return None
    if metadata.ByteSize() > _MOST_METADATA_BYTES:
        raise InvalidArgument.of("metadata", f"over {_MOST_METADATA_BYTES:,} bytes")
    return MessageToDict(metadata)


def _to_user(row: Any) -> pb.User:
    return pb.User(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        create_time=timestamp(row.created_at),
        metadata=ParseDict(row.notes, Struct()) if row.notes else None,
        disabled=row.disabled_at is not None,
    )
