"""Times as the store keeps them."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp


def microseconds(value: Timestamp) -> int:
    """Since 1970, UTC."""
    return value.seconds * 1_000_000 + value.nanos // 1000


def timestamp(value: int) -> Timestamp:
    """Of microseconds since 1970, UTC."""
    return Timestamp(seconds=value // 1_000_000, nanos=value % 1_000_000 * 1000)
