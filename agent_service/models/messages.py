"""Messages of the chat format: one, and many kept as the JSON that they are sent as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

# A message of the OpenAI chat format, but for its images: their URLs stand here until the body is made, so that content
# is text everywhere else.
ChatMessage = dict[str, Any]
IMAGES = "images"


class Encoded:
    """Messages in a row, as JSON with commas between them.

    A long conversation is sent again with each step: so kept it is neither made nor looked through for that, and takes
    less memory than its messages would.
    """

    __slots__ = ("_count", "has_images", "json")

    def __init__(self, json: bytes = b"", count: int = 0, *, has_images: bool = False) -> None:
        self.json, self._count, self.has_images = json, count, has_images

    def __len__(self) -> int:
        return self._count

    def extended(self, messages: Sequence[ChatMessage]) -> Encoded:
        if not messages:
            return self
        parts = [self.json] if self._count else []
        parts.extend(map(orjson.dumps, messages))
        pictured = self.has_images or any(IMAGES in message for message in messages)
        return Encoded(b",".join(parts), self._count + len(messages), has_images=pictured)

    def decoded(self) -> list[ChatMessage]:
        messages: list[ChatMessage] = orjson.loads(b"[%b]" % self.json)
        return messages


def decoded(messages: Iterable[ChatMessage | Encoded]) -> list[ChatMessage]:
    """The messages one by one."""
    plain: list[ChatMessage] = []
    for each in messages:
        plain.extend(each.decoded() if isinstance(each, Encoded) else [each])
    return plain


def as_fragment(value: Any) -> orjson.Fragment:
    """`orjson.dumps`'s `default`: what is encoded goes in as it is, as an array's elements. Raises: TypeError."""
    if isinstance(value, Encoded):
        return orjson.Fragment(value.json)
    raise TypeError(type(value).__name__)
