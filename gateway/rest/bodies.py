"""A request's body: read to its limit, and refused if no tier could keep what it says."""

from __future__ import annotations

import re

import orjson
from starlette.types import Message, Receive

from servicekit.channel import MAX_MESSAGE_BYTES
from triptych.errors import InvalidArgument, ResourceExhausted

# A JSON object inside another is three nested messages in the contract, of which protobuf reads a hundred.
MAX_DEPTH = 30
_OPENING = re.compile(rb"[\[{]")


class TooLarge(ResourceExhausted):
    """The request's body is over the limit."""

    http_status = 413

    def __init__(self) -> None:
        super().__init__(f"the body is over the limit of {MAX_MESSAGE_BYTES:,} bytes")


async def read(receive: Receive, content_type: str) -> Receive:
    """The whole body, before anything looks at it, as a `receive` that gives it in one piece.

    Raises: TooLarge; InvalidArgument for JSON that is broken, too deep, or has half a surrogate pair in a text.
    """
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_MESSAGE_BYTES:
            raise TooLarge
    if body and "json" in content_type.lower():
        _check_json(body)
    return giving(bytes(body), receive)


def giving(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body in one piece, then what else there is."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


def _check_json(body: bytearray) -> None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"the body is not JSON: {error.msg} at byte {error.pos}") from None
    # Most bodies have fewer brackets in all than may stand in one another, and need no walk.
    if len(_OPENING.findall(body)) > MAX_DEPTH and _too_deep(value):
        raise InvalidArgument(f"the body's objects and lists are nested more than {MAX_DEPTH} deep")


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
