"""Markdown: its source as it is, cut at its blocks. A `#` in a code block is no heading."""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it import MarkdownIt

from archival_service.readers.decoding import decode
from archival_service.readers.text import Block, clean

_FRONT_MATTER = "---"


def read(data: bytes) -> Iterator[Block]:
    """Raises: Unreadable."""
    lines = clean(decode(data)).split("\n")
    body = _after_front_matter(lines)
    yield Block("\n".join(lines[:body]))
    lines = lines[body:]
    # Only blocks are asked for: what is inside them is taken as it is written.
    parser = MarkdownIt("commonmark").enable("table").disable("inline")
    for token in parser.parse("\n".join(lines)):
        if token.level == 0 and token.map is not None and token.nesting >= 0:
            first, last = token.map
            level = int(token.tag[1]) if token.type == "heading_open" else 0
            yield Block("\n".join(lines[first:last]), level)


def _after_front_matter(lines: list[str]) -> int:
    """The number of the first line behind the YAML that some programs put at the top; 0 if there is none."""
    if lines[0].rstrip() != _FRONT_MATTER:
        return 0
    for number, line in enumerate(lines[1:100], start=2):
        if line.rstrip() == _FRONT_MATTER:
            return number
    return 0
