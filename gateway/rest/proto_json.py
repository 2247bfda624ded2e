"""Requests and answers that are the contract's own messages, as JSON, and what OpenAPI says of them."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from fastapi import Request
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from triptych.errors import InvalidArgument

M = TypeVar("M", bound=Message)
Json = dict[str, Any]

_NUMBERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32)
_TEXT_NUMBERS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Struct": {"type": "object"},
}


async def body(request: Request) -> Json:
    """The request's JSON object; no body is an empty one. Raises: InvalidArgument."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise InvalidArgument("the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise InvalidArgument("the body must be a JSON object")
    return parsed


def parsed(request_type: type[M], fields: Json) -> M:
    """Raises: InvalidArgument for a field that is not there or has no usable value."""
    try:
        return ParseDict(fields, request_type())
    except (ParseError, RecursionError) as error:
        raise InvalidArgument(str(error)[:300]) from None


def shown(message: Message) -> Json:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def schema(descriptor: Descriptor) -> Json:
    """The JSON schema of a message that holds no message of its own kind."""
    return {"type": "object", "properties": {field.name: _schema(field) for field in descriptor.fields}}


def _schema(field: FieldDescriptor) -> Json:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {"type": "object"}
    one = _of_one(field)
    return {"type": "array", "items": one} if field.is_repeated else one


def _of_one(field: FieldDescriptor) -> Json:
    if field.message_type is not None:
        return _WELL_KNOWN.get(field.message_type.full_name) or schema(field.message_type)
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    if field.cpp_type in _NUMBERS:
        return {"type": "integer"}
    if field.cpp_type in _FLOATS:
        return {"type": "number"}
    if field.cpp_type in _TEXT_NUMBERS:
        return {"type": "string", "format": "int64"}
    return {"type": "boolean"} if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else {"type": "string"}
