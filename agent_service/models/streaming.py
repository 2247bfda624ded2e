"""What of a text may be shown while it is generated: thoughts go apart, what may become a tool call is held back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

from agent_service.models.dialects import MARKERS

_THINKING = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
_BEGUN_CLOSING = "</think>"
# At the end of a line: within one it is talked about.
_END_ALONE = re.compile(r"</think>[ \t]*(?:\n|\Z)")
# So much of a text that begins like JSON or a fence shows whether it names a tool.
_ENOUGH = 200
# Behind more space than this nothing is expected: it would all be looked at again with each piece.
_MOST_SPACE = 1_000


class _Part(Enum):
    """Where in an answer a text is: it may yet begin with thoughts; in them; in the space behind them; behind that."""

    START = auto()
    THOUGHTS = auto()
    SPACE = auto()
    TEXT = auto()


class Thinking:
    """Splits a text that begins with the model's thoughts, in tags, into thoughts and text.

    `begun`: the text may begin in the middle of them. `closed`: their end was there.
    """

    def __init__(self, *, begun: bool = False) -> None:
        self._may_have_begun, self.begun_for_it, self.closed = begun, False, False
        self._part = _Part.START
        self._held = ""
        self._closing = ""

    def feed(self, piece: str) -> tuple[str, str]:
        """What of the thoughts and of the text is known to be one with this piece."""
        if self._part is _Part.TEXT:
            return "", piece
        self._held += piece
        if self._part is _Part.START:
            self._begin()
        thoughts = self._thoughts() if self._part is _Part.THOUGHTS else ""
        if self._part is _Part.SPACE:
            self._held = self._held.lstrip()
            self._part = _Part.TEXT if self._held else _Part.SPACE
        return thoughts, self._taken() if self._part is _Part.TEXT else ""

    def end(self) -> tuple[str, str]:
        """What is left."""
        rest = self._taken()
        return (rest, "") if self._part is _Part.THOUGHTS else ("", rest)

    def _begin(self) -> None:
        begun = self._held.lstrip()
        for opening, closing in _THINKING:
            if begun.startswith(opening):
                self._held, self._closing, self._part = begun[len(opening) :], closing, _Part.THOUGHTS
                return
        much_space = len(self._held) - len(begun) > _MOST_SPACE
        if much_space or (begun and not any(opening.startswith(begun) for opening, _ in _THINKING)):
            self._part = _Part.TEXT
            if self._may_have_begun:
                self._closing, self._part, self.begun_for_it = _BEGUN_CLOSING, _Part.THOUGHTS, True

    def _thoughts(self) -> str:
        thoughts, closed, text = self._held.partition(self._closing)
        if closed:
            self._held, self._part, self.closed = text, _Part.SPACE, True
            return thoughts
        shown = len(thoughts) - overlap(thoughts, (self._closing,))
        self._held = thoughts[shown:]
        return thoughts[:shown]

    def _taken(self) -> str:
        held, self._held = self._held, ""
        return held


def without_beginning(text: str) -> tuple[str, str]:
    """Thoughts and text of an answer whose first tag is the one that ends its thoughts; no thoughts of any other."""
    before, found, _ = text.partition(_BEGUN_CLOSING)
    end = _END_ALONE.match(text, len(before)) if found else None
    if end is None or "<think" in before or before.count("```") % 2 or before.endswith("`"):
        return "", text
    return before, text[end.end() :].lstrip()


class Holder:
    """Holds back, from where it may begin, what may be a tool call. `names`: of the tools that may be called."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._held = ""
        self._holds_all = False
        self._begun = False

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        if self._holds_all or not self._names:
            return self._later(piece) if self._names else piece
        text, self._held = self._held + piece, ""
        if not self._begun:
            begun = text.lstrip()
            if len(text) - len(begun) <= _MOST_SPACE and self._may_be_bare(begun):
                return self._later(text)
            self._begun = bool(text.strip())
        begins = [at for marker in MARKERS if (at := text.find(marker)) >= 0]
        at = min(begins) if begins else len(text) - overlap(text, MARKERS)
        self._holds_all = bool(begins)
        self._held = text[at:]
        return text[:at]

    def end(self) -> str:
        """What was held back, and was no call."""
        held, self._held = self._held, ""
        return held

    def _may_be_bare(self, begun: str) -> bool:
        """Whether a text that begins so may be a call without a marker."""
        if not begun:
            return True
        if not begun.startswith(("{", "[", "`")) and not any(
            name.startswith(begun) or begun.startswith(f"{name}(") for name in self._names
        ):
            return False
        self._holds_all = any(name in begun for name in self._names)
        return self._holds_all or len(begun) < _ENOUGH

    def _later(self, text: str) -> str:
        self._held += text
        return ""


def overlap(text: str, markers: Sequence[str]) -> int:
    """How many of the last characters may be the beginning of a marker that is not yet there as a whole."""
    longest = min(len(text), max(map(len, markers)) - 1)
    tail = text[len(text) - longest :]
    if not any(marker[0] in tail for marker in markers):
        return 0
    for size in range(longest, 0, -1):
        if any(marker.startswith(text[-size:]) for marker in markers):
            return size
    return 0
