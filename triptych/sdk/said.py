"""Messages, times and JSON as programs write them, as the contract's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from triptych.errors import InvalidArgument
from triptych.letta import images
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_ROLES = {
    "system": type_pb2.ROLE_SYSTEM,
    "developer": type_pb2.ROLE_SYSTEM,
    "user": type_pb2.ROLE_USER,
    "assistant": type_pb2.ROLE_ASSISTANT,
    "tool": type_pb2.ROLE_TOOL,
}


def as_message(given: Mapping[str, Any] | Message) -> Message:
    """`{"role": …, "content": …, "name": …}`; without a role it is the user's. Raises: InvalidArgument.

    `content`: a text, or parts with texts and images, as of the OpenAI chat format.
    """
    if isinstance(given, Message):
        return given
    role = given.get("role", "user")
    if role not in _ROLES:
        raise InvalidArgument.of("role", f"must be of {', '.join(_ROLES)}")
    try:
        text, urls = images.read(given.get("content"))
    except ValueError as error:
        raise InvalidArgument.of("content", str(error)) from None
    return Message(role=_ROLES[role], text=text, image_urls=urls, name=given.get("name") or "")


def struct(values: Mapping[str, Any] | None) -> Struct | None:
    """JSON values as the contract's. Raises: InvalidArgument for others."""
    if values is None:
        return None
    try:
        return ParseDict(dict(values), Struct())
    except (ParseError, RecursionError) as error:
        raise InvalidArgument.of("metadata", f"must be what JSON can hold: {error}") from None


def stamp(moment: datetime | None) -> Timestamp | None:
    """A time without a zone is taken for local time."""
    if moment is None:
        return None
    made = Timestamp()
    made.FromDatetime(moment.astimezone())
    return made
