"""What many shapes have: times, and metadata."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from servicekit import structs

Json = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time(value: Timestamp) -> str | None:
    """ISO 8601 in UTC, to the microsecond; None if it was never set."""
    seconds, microseconds = value.seconds, value.nanos // 1000
    if not (seconds or value.nanos):
        return None
    # A page has hundreds, and many of them again and again.
    return f"{_second(seconds)}.{microseconds:06d}+00:00" if microseconds else f"{_second(seconds)}+00:00"


@lru_cache(10_000)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def metadata(message: Any) -> Json:
    """Of a message that has a field of this name. Mostly there is nothing in it."""
    return structs.plain(message.metadata) if message.HasField("metadata") else {}
