"""What a request must be before it reaches the store. Each check raises InvalidArgument naming the field."""

from __future__ import annotations

from collections.abc import Sequence

from servicekit import times
from triptych.errors import InvalidArgument
from triptych.recall.v1 import recall_pb2 as pb
from triptych.type.v1 import type_pb2

MAX_ID = 100
MAX_REQUEST_ID = 200
MAX_BATCH = 1_000
MAX_TEXT_BYTES = 1024 * 1024
MAX_IMAGES = 10
MAX_IMAGE_BYTES = 2 * 1024 * 1024
MAX_QUERY = 10_000
MAX_LIMIT = 100
MAX_ROLES = 100
_ROLES = frozenset(type_pb2.Role.values()) - {type_pb2.ROLE_UNSPECIFIED}


def append(request: pb.AppendMessagesRequest) -> None:
    identifier("agent_id", request.agent_id)
    identifier("conversation_id", request.conversation_id)
    request_id(request.request_id, required=True)
    if request.fence.token < 0:
        raise InvalidArgument.of("fence.token", "must not be negative")
    if request.fence.token and request.fence.scope != request.conversation_id:
        raise InvalidArgument.of("fence.scope", "must be the conversation_id")
    if not 1 <= len(request.messages) <= MAX_BATCH:
        raise InvalidArgument.of("messages", f"must be 1 to {MAX_BATCH}")
    for position, given in enumerate(request.messages):
        _message(f"messages[{position}]", given)


def identifier(field: str, value: str, *, longest: int = MAX_ID, required: bool = True) -> None:
    if required and not value:
        raise InvalidArgument.of(field, "must be given")
    if len(value) > longest or "\0" in value:
        raise InvalidArgument.of(field, f"must be at most {longest} characters, without NUL")


def request_id(value: str, *, required: bool = False) -> None:
    identifier("request_id", value, longest=MAX_REQUEST_ID, required=required)


def text(field: str, value: str) -> None:
    # A character takes four bytes at the most, so that only long texts have to be encoded to be measured.
    if 4 * len(value) > MAX_TEXT_BYTES and len(value.encode()) > MAX_TEXT_BYTES:
        raise InvalidArgument.of(field, f"must be at most {MAX_TEXT_BYTES} bytes")


def roles(given: Sequence[int]) -> None:
    if len(given) > MAX_ROLES or not _ROLES.issuperset(given):
        raise InvalidArgument.of("roles", f"must be at most {MAX_ROLES}, of the contract's")


def search(request: pb.SearchMessagesRequest) -> None:
    if len(request.query) > MAX_QUERY:
        raise InvalidArgument.of("query", f"must be at most {MAX_QUERY} characters")
    if not 0 <= request.limit <= MAX_LIMIT:
        raise InvalidArgument.of("limit", f"must be 0 (the default, 10) to {MAX_LIMIT}")
    if request.mode not in type_pb2.SearchMode.values():
        raise InvalidArgument.of("mode", "is not a search mode")
    roles(request.roles)
    for field in ("start_time", "end_time"):
        times.check(field, getattr(request, field))
    start, end = request.start_time, request.end_time
    both = request.HasField("start_time") and request.HasField("end_time")
    if both and (start.seconds, start.nanos) > (end.seconds, end.nanos):
        raise InvalidArgument.of("start_time", "must not be after end_time")


def _message(field: str, given: pb.Message) -> None:
    if given.role not in _ROLES:
        raise InvalidArgument.of(f"{field}.role", "must be a role")
    for name in ("id", "turn_id", "step_id"):
        identifier(f"{field}.{name}", getattr(given, name), required=False)
    for name in ("name", "otid"):
        identifier(f"{field}.{name}", getattr(given, name), longest=MAX_REQUEST_ID, required=False)
    text(f"{field}.text", given.text)
    text(f"{field}.reasoning", given.reasoning)
    for position, call in enumerate(given.tool_calls):
        text(f"{field}.tool_calls[{position}].arguments", call.arguments)
    if len(given.image_urls) > MAX_IMAGES or sum(map(len, given.image_urls)) > MAX_IMAGE_BYTES:
        raise InvalidArgument.of(f"{field}.image_urls", f"must be at most {MAX_IMAGES} of {MAX_IMAGE_BYTES:,} bytes")
    times.check(f"{field}.create_time", given.create_time)
