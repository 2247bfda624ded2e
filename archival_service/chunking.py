"""Cuts a document into passages, along its structure.

A passage is a run of whole blocks where that fits, else of whole sentences, else of words; it ends before a heading,
and neighbours within a section share some text, so that what stands at a cut is found whole in one of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from archival_service.readers.text import Document, Span

# Characters. A passage takes up to TARGET that the one before has not, behind up to OVERLAP of that one's end.
TARGET = 800
OVERLAP = 100
# A heading ends a passage of at least this length; a shorter section goes along with the one behind it.
LEAST = 200
# What is longer is a paragraph that somebody has marked as a heading.
_LONGEST_HEADING = 300

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]\s*|\n\s*")
_SPACE = re.compile(r"\s+")
_JOINER = "\u200d"


@dataclass(frozen=True)
class Chunk:
    """A passage-to-be: `text` is the document's from `start` up to, not with, `end`.

    `page` is where its own text begins, 0 if there are none; `headings` are those it stands under, the outermost first.
    """

    text: str
    start: int
    end: int
    page: int
    headings: tuple[str, ...]


@dataclass(frozen=True)
class _Piece:
    """What is not cut any more: at most TARGET characters of one block."""

    span: Span
    headings: tuple[str, ...]


def chunks(document: Document) -> Iterator[Chunk]:
    """In order; together they hold all of the document but white space between them."""
    run: list[_Piece] = []
    new = 0  # the first character that no chunk has yet
    for piece in _pieces(document):
        opens = piece.span.level > 0
        if run and (piece.span.end - new > TARGET or (opens and run[-1].span.end - new >= LEAST)):
            body, kept = _without_last_headings(run, piece)
            chunk = _chunk(document.text, body)
            yield chunk
            run = kept if kept or opens else _overlap(document.text, body, piece)
            new = kept[0].span.start if kept else piece.span.start
        run.append(piece)
    if run:
        yield _chunk(document.text, run)


def _pieces(document: Document) -> Iterator[_Piece]:
    path: list[tuple[int, str]] = []
    for span in document.spans:
        level = span.level if span.end - span.start <= _LONGEST_HEADING else 0
        if level:
            path = [(above, title) for above, title in path if above < level]
            path.append((level, _title(document.text[span.start : span.end])))
        headings = tuple(title for _, title in path)
        for start, end in _parts(document.text, span.start, span.end):
            yield _Piece(Span(start, end, level, span.page), headings)


def _title(text: str) -> str:
    """A heading on one line, without the marks of Markdown."""
    return _SPACE.sub(" ", text.strip("#=- \t\n"))


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The block in parts of at most TARGET characters, white space at their ends left out."""
    while end - start > TARGET:
        cut = _cut(text, start, start + TARGET)
        yield start, start + len(text[start:cut].rstrip())
        start = _after_space(text, cut)
    yield start, end


def _after_space(text: str, at: int) -> int:
    """Where the next word begins. A block has no white space at its end, so there is one before that."""
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _cut(text: str, start: int, most: int) -> int:
    """Where to cut, at `most` at the latest: behind a sentence, a word, or at least not inside a character."""
    half = start + (most - start) // 2
    sentences = [found.end() for found in _SENTENCE_END.finditer(text, half, most)]
    if sentences:
        return sentences[-1]
    spaces = [found.end() for found in _SPACE.finditer(text, half, most)]
    if spaces:
        return spaces[-1]
    cut = most
    while cut > half and _continues(text, cut):
        cut -= 1
    return cut if cut > half else most


def _continues(text: str, at: int) -> bool:
    """Whether the code point at `at` belongs to the character before it: an accent, a part of an emoji."""
    return bool(unicodedata.combining(text[at])) or _is_joint(text[at]) or text[at - 1] == _JOINER


def _is_joint(character: str) -> bool:
    return character == _JOINER or "\ufe00" <= character <= "\ufe0f" or "\U0001f3fb" <= character <= "\U0001f3ff"


def _without_last_headings(run: list[_Piece], following: _Piece) -> tuple[list[_Piece], list[_Piece]]:
    """The run up to the headings at its end, and those, which go with what they are the headings of, if it fits."""
    end = len(run)
    while end > 1 and run[end - 1].span.level and following.span.end - run[end - 1].span.start <= TARGET:
        end -= 1
    return run[:end], run[end:]


def _overlap(text: str, body: list[_Piece], following: _Piece) -> list[_Piece]:
    """The end of a run again: from where a sentence, or else a word, begins in its last OVERLAP characters."""
    last = body[-1]
    if following.span.start - last.span.end > OVERLAP:  # a desert of white space between them
        return []
    first = max(last.span.start, last.span.end - OVERLAP)
    starts = [first] if first == last.span.start else []
    starts += [found.end() for found in _SENTENCE_END.finditer(text, first, last.span.end)]
    starts += [found.end() for found in _SPACE.finditer(text, first, last.span.end)]
    for start in starts:
        if body[0].span.start < start < last.span.end:
            return [_Piece(Span(start, last.span.end, 0, following.span.page), last.headings)]
    return []


def _chunk(text: str, run: list[_Piece]) -> Chunk:
    start, end = run[0].span.start, run[-1].span.end
    return Chunk(text[start:end], start, end, run[0].span.page, run[0].headings)
