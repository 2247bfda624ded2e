"""JSON objects in the contract (`google.protobuf.Struct`): which are kept, and what they are in Python."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from triptych.errors import InvalidArgument

MAX_BYTES = 16 * 1024
# Protobuf decodes 100 messages deep, and each level of JSON takes up to three of them: what is nested deeper could be
# stored and not be read again as a part of a larger answer.
MAX_DEPTH = 20
# Above it a double is no exact integer any more.
_EXACT = 2.0**53


def check(field: str, given: Struct) -> None:
    """Raises: InvalidArgument if it is too long, too deep, or holds what JSON or a store can't (NaN, infinity, NUL)."""
    if given.ByteSize() > MAX_BYTES:
        raise InvalidArgument.of(field, f"must be at most {MAX_BYTES:,} bytes")
    _check_fields(field, given, MAX_DEPTH)


def _check_fields(field: str, given: Struct, depth: int) -> None:
    for name, value in given.fields.items():
        if "\0" in name:
            raise InvalidArgument.of(field, "must not contain NUL characters")
        _check_value(field, value, depth)


def _check_value(field: str, value: Value, depth: int) -> None:
    kind = value.WhichOneof("kind")
    if depth == 0:
        raise InvalidArgument.of(field, f"must be nested at most {MAX_DEPTH} levels deep")
    if kind == "number_value" and not math.isfinite(value.number_value):
        raise InvalidArgument.of(field, "must be what JSON can hold: neither NaN nor infinity")
    if kind == "string_value" and "\0" in value.string_value:
        raise InvalidArgument.of(field, "must not contain NUL characters")
    if kind == "struct_value":
        _check_fields(field, value.struct_value, depth - 1)
    if kind == "list_value":
        for item in value.list_value.values:
            _check_value(field, item, depth - 1)


def plain(given: Struct) -> dict[str, Any]:
    """As Python's dicts, lists and scalars. Takes anything: what `check` refuses too."""
    return {name: _plain_value(value) for name, value in given.fields.items()}


def _plain_value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return plain(value.struct_value)
    if kind == "list_value":
        return [_plain_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if abs(number) <= _EXACT and number.is_integer() else number
    return None if kind in (None, "null_value") else getattr(value, kind)
