"""What the routes share: the backends, answers, list parameters, dates."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import orjson
from fastapi import Depends, Query, Request, Response
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.backends import Backends
from gateway.rest.endpoints import Given
from gateway.rest.schemas import Metadata
from triptych.errors import InvalidArgument
from triptych.type.v1 import type_pb2

T = TypeVar("T")


async def _backends(request: Request) -> Backends:
    backends: Backends = request.app.state.backends
    return backends


Back = Annotated[Backends, Given(_backends)]


def answer(content: Any, status: int = 200) -> Response:
    """JSON, made without passing through a model again."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def answers(items: Iterable[T], shape: Callable[[T], Any]) -> Response:
    return answer([shape(item) for item in items])


class Listing(NamedTuple):
    """How much of a list, from where, in which order. `before` and `after` are ids, in the order of the list."""

    limit: int
    before: str
    after: str
    order: type_pb2.SortOrder.ValueType

    @property
    def paging(self) -> dict[str, Any]:
        """The fields that all of the contract's list requests have."""
        return {
            "page_size": self.limit,
            "before_id": self.before,
            "after_id": self.after,
            "order": self.order,
        }

    def part(self, items: Sequence[T], key: Callable[[T], str]) -> list[T]:
        """What the list asks for of `items`, which are all there are, in its order."""
        ids = [key(item) for item in items]
        start = ids.index(self.after) + 1 if self.after in ids else 0
        end = ids.index(self.before) if self.before in ids else len(ids)
        return list(items[start:end][: self.limit])


def _listing(default: Literal["asc", "desc"]) -> Any:
    # `async` though it waits for nothing: what is not, FastAPI calls in a thread, and the way there and back takes
    # longer than all else that the door does.
    async def read(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        before: str | None = None,
        after: str | None = None,
        order: Literal["asc", "desc"] = default,
        ascending: bool | None = None,
    ) -> Listing:
        up = order == "asc" if ascending is None else ascending
        direction = type_pb2.SORT_ORDER_ASCENDING if up else type_pb2.SORT_ORDER_DESCENDING
        return Listing(limit, before or "", after or "", direction)

    return Depends(read)


NewestFirst = Annotated[Listing, _listing("desc")]
OldestFirst = Annotated[Listing, _listing("asc")]


def request_id(request: Request) -> str:
    """The caller's Idempotency-Key: the same key, the same effect, once. Without one, a new id."""
    return request.headers.get("idempotency-key") or str(uuid.uuid4())


def given_request_id(request: Request) -> str:
    """As `request_id`, but none without the header: what is made then is not written down as an answer too."""
    return request.headers.get("idempotency-key", "")


def struct(metadata: Metadata | None) -> Struct | None:
    return None if metadata is None else ParseDict(metadata, Struct())


def tag_match(mode: str) -> type_pb2.TagMatch.ValueType:
    return type_pb2.TAG_MATCH_ALL if mode == "all" else type_pb2.TAG_MATCH_ANY


def moment(field: str, text: str | None, *, end: bool = False) -> Timestamp | None:
    """An ISO 8601 date or time. `end`: a date without a time means the day's last moment.

    Raises: InvalidArgument for anything else.
    """
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        if end and len(text) == len("2026-01-31"):
            parsed += timedelta(days=1, microseconds=-1)
        stamp = Timestamp()
        stamp.FromDatetime(parsed)
    except (ValueError, OverflowError):
        raise InvalidArgument.of(field, "must be an ISO 8601 date or time") from None
    return stamp
