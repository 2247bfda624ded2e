"""Which resources a message names, for the audit log: ids of ours, and nothing else that is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf.message import Message

METADATA_KEY = "triptych-resources"
MOST = 8
_DEPTH = 2
_ID = re.compile(r"[a-z_]{1,20}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def named(message: Message) -> Iterator[str]:
    """Ids in its fields `id`, `…_id`, `…_ids`, and in those of the messages that it holds."""
    return _named(message, _DEPTH)


def read(text: str) -> list[str]:
    """The ids of a header's value; what is none is left out."""
    return [each for each in text.split(",") if _ID.fullmatch(each)][:MOST]


def _named(message: Message, depth: int) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            if depth > 1 and not field.is_repeated:
                yield from _named(value, depth - 1)
        elif field.name == "id" or field.name.endswith(("_id", "_ids")):
            for each in list(value) if field.is_repeated else [value]:
                if isinstance(each, str) and field.name != "request_id" and _ID.fullmatch(each):
                    yield each
