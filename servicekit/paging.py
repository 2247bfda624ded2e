"""Opaque page tokens that are bound to the query they came from (AIP-158)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from triptych.errors import InvalidArgument
from triptych.type.v1 import type_pb2

T = TypeVar("T")
Mark = TypeVar("Mark", str, int)


@dataclass(frozen=True)
class Page:
    """What to read: at most `size` rows behind `cursor` (None: from the start), `descending` or not."""

    size: int
    cursor: tuple[Any, ...] | None
    descending: bool
    binding: str

    def token(self, cursor: tuple[Any, ...]) -> str:
        """The token of the page behind `cursor`, whose items are JSON values (the sort key of the last row)."""
        raw = json.dumps([self.binding, list(cursor)], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def behind(self, start: Mark) -> Mark:
        """Behind which item the page begins, of a list whose cursor is one value; `start`: on the first page.

        Raises: InvalidArgument for a forged token.
        """
        if self.cursor is None:
            return start
        if len(self.cursor) != 1 or type(self.cursor[0]) is not type(start):
            raise _not_ours()
        last: Mark = self.cursor[0]
        return last

    def cut(self, found: Sequence[T], mark: Callable[[T], str | int]) -> tuple[Sequence[T], str]:
        """`found`: the page's items, and one more if there is one. Those of the page, and the next one's token or ''.

        `mark`: an item's value as a cursor.
        """
        shown = found[: self.size]
        return shown, self.token((mark(shown[-1]),)) if len(found) > self.size else ""


def read(
    *,
    size: int,
    token: str,
    query: tuple[Any, ...],
    order: type_pb2.SortOrder.ValueType = type_pb2.SORT_ORDER_UNSPECIFIED,
    newest_first: bool = False,
    default: int = 50,
    maximum: int = 1000,
) -> Page:
    """Reads a list request's paging fields.

    `query`: everything else that decides the result (method, tenant, filters), as JSON values; a token of another query
    is refused. A size over the maximum is cut to it; `newest_first`: the direction when `order` is unspecified.

    Raises: InvalidArgument for a negative size, an order that is none, or a token not made by this query.
    """
    if order not in type_pb2.SortOrder.values():
        raise InvalidArgument.of("order", "is not a SortOrder")
    if size < 0:
        raise InvalidArgument.of("page_size", "must not be negative")
    descending = newest_first if order == type_pb2.SORT_ORDER_UNSPECIFIED else order == type_pb2.SORT_ORDER_DESCENDING
    binding = hashlib.sha256(json.dumps([*query, descending]).encode()).hexdigest()[:16]
    cursor: tuple[Any, ...] | None = None
    if token:
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            made_by, items = json.loads(raw)
            cursor = tuple(items)
        except (ValueError, TypeError, RecursionError):
            made_by = None
        if made_by != binding:
            raise _not_ours()
    return Page(min(size or default, maximum), cursor, descending, binding)


def _not_ours() -> InvalidArgument:
    return InvalidArgument("page_token: not a token of this query", reason=type_pb2.ERROR_REASON_PAGE_TOKEN_INVALID)
