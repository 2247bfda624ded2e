"""What the queries of all subjects share: the owner's rows, and pages of them by (created_at, id)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, Select, Table, and_, bindparam, select, tuple_

from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.errors import InvalidArgument, PermissionDenied
from triptych.type.v1 import type_pb2

Parameters = dict[str, Any]
# What the cursor of a page by (created_at, id) is made of.
_PLACE = (int, str)


def owned(table: Table, tenant: Tenant) -> ColumnElement[bool]:
    return and_(table.c.account_id == tenant.account_id, table.c.user_id == tenant.user_id)


def mine(table: Table) -> ColumnElement[bool]:
    """The owner's rows in a statement that is built once: run it with the parameters of `of_owner`."""
    return and_(table.c.account_id == bindparam("owner_account"), table.c.user_id == bindparam("owner_user"))


def of_owner(tenant: Tenant, **more: Any) -> Parameters:
    """The parameters of `mine`, with others that the statement has."""
    return {"owner_account": tenant.account_id, "owner_user": tenant.user_id, **more}


def readable(table: Table, tenant: Tenant) -> ColumnElement[bool]:
    """The owner's rows, and those that its account shares."""
    users = (tenant.user_id, tenant.account.user_id)
    return and_(table.c.account_id == tenant.account_id, table.c.user_id.in_(users))


def check_own(row: Any, tenant: Tenant, resource: str) -> None:
    """`row`: one that the owner may read. Raises: PermissionDenied for what the account shares with it."""
    if row.user_id != tenant.user_id:
        raise not_changed_here(resource)


def not_changed_here(resource: str) -> PermissionDenied:
    """What there is to say to a user who would write to what the account shares."""
    return PermissionDenied(f"the {resource} is the account's: it can be read here, and not changed")


def owner(tenant: Tenant) -> Parameters:
    return {"account_id": tenant.account_id, "user_id": tenant.user_id}


@dataclass(frozen=True)
class Window:
    """Which part of a list: a page of it, or what stands next to a known row in the list's order."""

    page: Page
    before_id: str = ""
    after_id: str = ""


def fetch(
    connection: Connection, query: Select[Any], table: Table, tenant: Tenant, window: Window, *by: ColumnElement[Any]
) -> tuple[Sequence[Row[Any]], str]:
    """The window's rows in the page's order, and the token of the page behind them ('' if there is none).

    `by`: the columns that order the table, which the query has; none: created_at, id. A `before_id` or `after_id` that
    is not there gives no rows.
    """
    by = by or (table.c.created_at, table.c.id)
    page, key = window.page, tuple_(*by)
    for anchor_id, behind in ((window.after_id, True), (window.before_id, False)):
        if not anchor_id:
            continue
        anchor = connection.execute(select(*by).where(owned(table, tenant), table.c.id == anchor_id)).one_or_none()
        if anchor is None:
            return [], ""
        query = query.where(key < tuple(anchor) if page.descending is behind else key > tuple(anchor))
    if page.cursor is not None:
        query = query.where(key < page.cursor if page.descending else key > page.cursor)
    # With only `before_id` the rows wanted are those next to it: read backwards from it, then turn them round.
    backwards = bool(window.before_id) and not window.after_id
    descending = page.descending is not backwards
    ends = [column.desc() for column in by] if descending else by
    rows = connection.execute(query.order_by(*ends).limit(page.size + 1)).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    if backwards:
        return rows[::-1], ""
    return rows, page.token(tuple(rows[-1]._mapping[column.name] for column in by)) if more else ""


class PlainPages:
    """Pages of all that an owner has, by (created_at, id): what is listed most, and so prepared.

    `query`: of `table`, with `mine`.
    """

    def __init__(self, query: Select[Any], table: Table) -> None:
        by = (table.c.created_at, table.c.id)
        key = tuple_(*by)
        cursor = tuple_(bindparam("cursor_at", type_=by[0].type), bindparam("cursor_id", type_=by[1].type))
        self._statements: dict[tuple[bool, bool], Prepared] = {}
        for descending in (True, False):
            ordered = query.order_by(*(column.desc() if descending else column for column in by))
            ordered = ordered.limit(bindparam("most", type_=Integer))
            behind = ordered.where(key < cursor if descending else key > cursor)
            self._statements[descending, False] = Prepared(ordered)
            self._statements[descending, True] = Prepared(behind)

    def fetch(self, connection: Connection, tenant: Tenant, page: Page) -> tuple[Sequence[Any], str]:
        """As `fetch`. Raises: InvalidArgument for a forged token."""
        parameters = of_owner(tenant, most=page.size + 1)
        if page.cursor is not None:
            parameters["cursor_at"], parameters["cursor_id"] = _at_and_id(page.cursor)
        rows = self._statements[page.descending, page.cursor is not None].all(connection, parameters)
        more, rows = len(rows) > page.size, rows[: page.size]
        return rows, page.token((rows[-1].created_at, rows[-1].id)) if more else ""


def _at_and_id(cursor: tuple[Any, ...]) -> tuple[int, str]:
    if len(cursor) == len(_PLACE) and all(map(isinstance, cursor, _PLACE)) and abs(cursor[0]) < 2**63:
        return cursor[0], cursor[1]
    raise InvalidArgument("page_token: not a token of this query", reason=type_pb2.ERROR_REASON_PAGE_TOKEN_INVALID)


def like(text: str) -> str:
    """A LIKE pattern (escape character: backslash) for what contains `text`."""
    escaped = text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"
