"""JSON, and JSON Lines: a block for each record of a list, each field of an object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from archival_service.readers.decoding import decode
from archival_service.readers.text import Block, Unreadable

# Records longer than this are laid out over lines, so that they can be cut between fields.
_ONE_LINE = 200


def read(data: bytes) -> Iterator[Block]:
    """Raises: Unreadable."""
    text = decode(data)
    try:
        value = json.loads(text)
    except RecursionError:
        raise Unreadable("it is nested too deep") from None
    except ValueError as error:
        yield from _lines(text, error)
        return
    if isinstance(value, dict):
        for name, field in value.items():
            yield Block(f"{name}: {_written(field)}")
    elif isinstance(value, list):
        yield from (Block(_written(record)) for record in value)
    else:
        yield Block(_written(value))


def _lines(text: str, whole: ValueError) -> Iterator[Block]:
    """JSON Lines, unless even its first line is none: then it was meant to be one value."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield Block(_written(json.loads(line)))
        except (ValueError, RecursionError):
            at = getattr(whole, "lineno", 1) if number == 1 else number
            raise Unreadable(f"it is not JSON: look at line {at:,}") from None


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _ONE_LINE else json.dumps(value, ensure_ascii=False, indent=1)
