"""Whether a message asks: a question has the words of its answer and seldom is it, and its answer stands behind it."""

from __future__ import annotations

import re
from enum import IntFlag

_SENTENCE = re.compile(r"[^.!?…。！？؟]+[.!?…。！？؟]*")
_WORD = re.compile(r"\w+")
_MARKS = frozenset("?？؟")
# A longer message tells something too, whatever it asks.
_MOST_WORDS = 25
# What may stand behind the mark: closing quotes and brackets.
_CLOSING = " \t\r\n\"'”’»)]*_"
# Of a long message the end alone is looked at.
_MOST_CHARACTERS = 1_000


class Asks(IntFlag):
    """`LAST`: it ends with a question; `ONLY`: it is short, and most of its words are questions."""

    NOTHING = 0
    LAST = 1
    ONLY = 2


def asks(text: str) -> Asks:
    """What the message of this text asks."""
    text = text[-_MOST_CHARACTERS:]
    if _MARKS.isdisjoint(text):
        return Asks.NOTHING
    last = Asks.LAST if text.rstrip(_CLOSING)[-1:] in _MARKS else Asks.NOTHING
    words = asked = 0
    for sentence in _SENTENCE.findall(text):
        count = len(_WORD.findall(sentence))
        words += count
        asked += 0 if _MARKS.isdisjoint(sentence) else count
        if words > _MOST_WORDS:
            return last
    return last | (Asks.ONLY if 2 * asked > words else Asks.NOTHING)
