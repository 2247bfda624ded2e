"""The text that a reader gets out of a file: blocks in their order, and which of them are headings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# No reader gives more text than this: it is some 10,000 pages.
MAX_CHARACTERS = 20_000_000
_BETWEEN = "\n\n"
_UNWANTED = str.maketrans(dict.fromkeys(range(0xD800, 0xE000), "\ufffd") | {0: None, ord("\r"): "\n"})


class Unreadable(Exception):
    """The file can't be taken in. The message says why in one line, without a word of what the file says."""


@dataclass(frozen=True)
class Block:
    """A paragraph, a row, a heading. `level`: 1 for a main heading and more for those below, 0 for no heading.

    `page`: counted from 1, 0 if there are none.
    """

    text: str
    level: int = 0
    page: int = 0


@dataclass(frozen=True)
class Span:
    """A block's place in the text: from `start` up to, not with, `end`."""

    start: int
    end: int
    level: int
    page: int


@dataclass(frozen=True)
class Document:
    """The blocks of a file as one text. `pages`: how many the file has, 0 if it has none."""

    text: str
    spans: list[Span]
    pages: int


def clean(text: str) -> str:
    """Without what can't be kept: NUL goes, a lone surrogate becomes U+FFFD; lines end in \\n."""
    return text.replace("\r\n", "\n").translate(_UNWANTED)


def assemble(blocks: Iterable[Block]) -> Document:
    """Raises: Unreadable if there is no text, or too much of it."""
    parts: list[str] = []
    spans: list[Span] = []
    at = pages = 0
    for block in blocks:
        pages = max(pages, block.page)
        text = clean(block.text).strip()
        if not text:
            continue
        spans.append(Span(at, at + len(text), block.level, block.page))
        parts.append(text)
        at += len(text) + len(_BETWEEN)
        if at > MAX_CHARACTERS:
            raise Unreadable(f"it holds more than {MAX_CHARACTERS:,} characters of text: split it")
    if not spans:
        raise Unreadable("no text found in it")
    return Document(_BETWEEN.join(parts), spans, pages)
