"""Pages of a list, bounded by a number of rows and by what fits one answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Column, ColumnElement, Connection, Row, Table, select, tuple_

from archival_service.stores.rows import owned, readable
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.errors import InvalidArgument
from triptych.type.v1 import type_pb2

M = TypeVar("M", bound=Message)

# A page that would be larger ends early: a channel takes 64 MiB, and one answer should not take that much memory.
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Window:
    """Which part of a list. `after_id` and `before_id` are meant in the order of the list; empty: no bound."""

    page: Page
    after_id: str
    before_id: str


def fetch(
    connection: Connection,
    tenant: Tenant,
    table: Table,
    key: Sequence[Column[Any]],
    where: Sequence[ColumnElement[bool]],
    window: Window,
    to_message: Callable[[Row[Any]], M],
    *,
    shared: bool = False,
) -> tuple[list[M], str]:
    """The owner's rows of the window, ordered by `key` (unique for the owner), and the next page's token.

    `shared`: its account's too; `key` has to be unique for both.

    A bound that does not exist gives an empty page. Raises: InvalidArgument for a forged token.
    """
    page = window.page
    whose = readable(table, tenant) if shared else owned(table, tenant)
    query = select(table).where(whose, *where)
    for anchor_id, behind in ((window.after_id, True), (window.before_id, False)):
        if not anchor_id:
            continue
        anchor = connection.execute(select(*key).where(whose, table.c.id == anchor_id)).one_or_none()
        if anchor is None:
            return [], ""
        query = query.where(_beyond(key, tuple(anchor), later=behind is not page.descending))
    if page.cursor is not None:
        query = query.where(_beyond(key, _checked(page.cursor, key), later=not page.descending))
    # With only `before_id` the rows wanted are those next to it: read backwards from it, then turn them round.
    backwards = bool(window.before_id) and not window.after_id
    descending = page.descending is not backwards
    query = query.order_by(*(column.desc() if descending else column for column in key)).limit(page.size + 1)
    found: list[M] = []
    size = 0
    last: Row[Any] | None = None
    for row in connection.execute(query):
        if last is not None and (len(found) == page.size or size > MOST_BYTES):
            token = "" if backwards else page.token(tuple(getattr(last, column.name) for column in key))
            return found[::-1] if backwards else found, token
        found.append(to_message(row))
        size += found[-1].ByteSize()
        last = row
    return found[::-1] if backwards else found, ""


def _beyond(key: Sequence[Column[Any]], values: tuple[Any, ...], *, later: bool) -> ColumnElement[bool]:
    return tuple_(*key) > values if later else tuple_(*key) < values


def _checked(cursor: tuple[Any, ...], key: Sequence[Column[Any]]) -> tuple[Any, ...]:
    """A token is not signed: what it holds is any JSON until it has been looked at."""
    fits = len(cursor) == len(key) and all(
        type(item) is column.type.python_type and (type(item) is str or abs(item) < 2**63)
        for item, column in zip(cursor, key, strict=True)
    )
    if not fits:
        raise InvalidArgument("page_token: not a token of this query", reason=type_pb2.ERROR_REASON_PAGE_TOKEN_INVALID)
    return cursor
