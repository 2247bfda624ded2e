"""Adds up what was found by meaning and by words.

A weighted sum of scores, each scaled to its best hit: it loses less than rank fusion when one side is weak.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archival_service.store import Found

DENSE_WEIGHT = 0.5
SPARSE_WEIGHT = 0.5


@dataclass(frozen=True)
class Scored:
    """A passage's score and what it was made from, each 0 to 1."""

    n: int
    score: float
    dense: float
    sparse: float


def fuse(dense: Iterable[Found], sparse: Iterable[Found]) -> list[Scored]:
    """Every hit of either side, best first. One side alone counts fully."""
    meaning, words = _scaled(dense), _scaled(sparse)
    dense_weight, sparse_weight = DENSE_WEIGHT, SPARSE_WEIGHT
    if not meaning or not words:
        dense_weight = sparse_weight = 1.0
    scored = [
        Scored(
            n,
            dense_weight * meaning.get(n, 0.0) + sparse_weight * words.get(n, 0.0),
            meaning.get(n, 0.0),
            words.get(n, 0.0),
        )
        for n in meaning.keys() | words.keys()
    ]
    return sorted(scored, key=lambda each: (-each.score, -each.n))


def _scaled(scored: Iterable[Found]) -> dict[int, float]:
    scores = {each.n: each.score for each in scored if each.score > 0}
    best_score = max(scores.values(), default=1.0)
    return {n: score / best_score for n, score in scores.items()}
