"""Plain text: paragraphs, between empty lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from archival_service.readers.decoding import decode
from archival_service.readers.text import Block, clean

_EMPTY_LINES = re.compile(r"\n[ \t]*\n\s*")


def read(data: bytes) -> Iterator[Block]:
    """Raises: Unreadable."""
    for paragraph in _EMPTY_LINES.split(clean(decode(data))):
        # A form feed is a page break in text that was made for printers.
        yield from (Block(part) for part in paragraph.split("\f"))
