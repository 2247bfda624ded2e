"""Times that others give."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from triptych.errors import InvalidArgument

# 0001-01-01 and 9999-12-31T23:59:59, the range of google.protobuf.Timestamp, in seconds since 1970.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799


def check(field: str, value: Timestamp) -> None:
    """Raises: InvalidArgument for what is no time: on the wire it may be any number, and a store takes fewer."""
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < 1_000_000_000):
        raise InvalidArgument.of(field, "must be a time of the years 1 to 9999")
