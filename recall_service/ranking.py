"""What a message's score is made of.

The scores of words and of meaning are each scaled to their best hit and added with weights: that loses less than rank
fusion when one side is weak. To these comes how alike the words themselves are. Hits near a good one are lifted, since
an answer often stands beside the words asked for, above all behind a question; and so are those of a speaker whom the
query names, and what the user said over what was said to them. What only asks counts less. docs/retrieval.md has the
measurements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recall_service.places import Places
from recall_service.questions import Asks
from recall_service.store import Found
from triptych.type.v1 import type_pb2

Column = NDArray[np.float64]

_WORD = re.compile(r"\w+")

LEXICAL_WEIGHT = 0.7
SEMANTIC_WEIGHT = 0.4
LIKENESS_WEIGHT = 0.5
NEIGHBOUR_WEIGHT = 0.4
# What a neighbour counts by its distance: 1 to 4 messages before or behind.
NEIGHBOUR_DECAY = (1.0, 0.7, 0.5, 0.3)
# What a message that ends with a question counts more for the one behind it.
ANSWER_WEIGHT = 0.3
SPEAKER_BOOST = 1.8
USER_BOOST = 1.5
QUESTION_BOOST = 0.8
# Messages further apart than this belong to two sessions: one says nothing for the other.
SESSION_GAP_MICROSECONDS = 3_600_000_000


class Scored(NamedTuple):
    """A message's score and what it was made from."""

    n: int
    score: float
    lexical: float
    semantic: float
    neighbour: float = 0.0
    likeness: float = 0.0


class Hits:
    """Scored messages as columns, whose names are those of `Scored`."""

    def __init__(self, n: NDArray[np.int64], **columns: Column) -> None:
        self.n = n
        self._columns = columns

    @classmethod
    def of(cls, scored: Sequence[Scored]) -> Hits:
        n, *columns = zip(*scored, strict=True)
        return cls(
            np.array(n, dtype=np.int64),
            **{name: np.array(column) for name, column in zip(Scored._fields[1:], columns, strict=True)},
        )

    def __len__(self) -> int:
        return len(self.n)

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def replaced(self, **columns: Column) -> Hits:
        return Hits(self.n, **{**self._columns, **columns})

    def taken(self, rows: NDArray[Any]) -> Hits:
        """Those of the rows, which may be numbers in some order, or say of each whether it stays."""
        return Hits(self.n[rows], **{name: column[rows] for name, column in self._columns.items()})

    def scored(self) -> list[Scored]:
        columns = (self._columns[name].tolist() for name in Scored._fields[1:])
        return list(map(Scored, self.n.tolist(), *columns))


def fuse(words: Sequence[Found], meaning: Sequence[Found]) -> Hits:
    """Adds up both sides' scores, each divided by its best. One side alone counts fully. By rising number."""
    found = np.array([each.n for each in (*words, *meaning)], dtype=np.int64)
    n, at = np.unique(found, return_inverse=True)
    lexical = _scaled(words, at[: len(words)], len(n))
    semantic = _scaled(meaning, at[len(words) :], len(n))
    both = lexical.any() and semantic.any()
    lexical_weight, semantic_weight = (LEXICAL_WEIGHT, SEMANTIC_WEIGHT) if both else (1.0, 1.0)
    nothing = np.zeros(len(n))
    return Hits(
        n,
        score=lexical_weight * lexical + semantic_weight * semantic,
        lexical=lexical,
        semantic=semantic,
        neighbour=nothing,
        likeness=nothing,
    )


def with_likeness(hits: Hits, alike: Mapping[int, float]) -> Hits:
    """Adds how alike the words are, divided by the best, to those that were compared."""
    best = max(alike.values(), default=0.0)
    if best <= 0:
        return hits
    likeness = np.array([alike.get(n, 0.0) for n in hits.n.tolist()]) / best
    return hits.replaced(score=hits["score"] + LIKENESS_WEIGHT * likeness, likeness=likeness)


class Surroundings:
    """What stands around each hit, to be asked for any scores of theirs."""

    def __init__(self, places: Places, query: str) -> None:
        named = set(_WORD.findall(query.lower()))
        boosts = np.array([_boost(name, role, named) for name, role in places.speakers])
        asking = np.where(places.asks & Asks.ONLY, QUESTION_BOOST, 1.0)
        self._boosts = boosts[places.speaker] * asking if len(boosts) else np.zeros(0)
        self._order, self._pairs = _neighbours(places)

    def ranked(self, hits: Hits, most: int | None = None) -> Hits:
        """The best `most`, in order, with what stands around them. `hits`: the messages of `places`, in their order."""
        beside = self._beside(hits["score"])
        lifted = self._boosts * (hits["score"] + NEIGHBOUR_WEIGHT * beside)
        order = np.lexsort((-hits.n, -lifted))[:most]
        return hits.replaced(score=lifted, neighbour=beside).taken(order)

    def _beside(self, scores: Column) -> Column:
        """What the hits beside each count for it, one number each."""
        ordered = scores[self._order]
        sums = np.zeros(len(scores))
        for step, later, earlier in self._pairs:
            sums[:-step] += later * ordered[step:]
            sums[step:] += earlier * ordered[:-step]
        beside = np.empty(len(scores))
        beside[self._order] = sums
        return beside


def _neighbours(places: Places) -> tuple[NDArray[np.intp], list[tuple[int, Column, Column]]]:
    """An order in which neighbours are near each other; and for each distance in it, of each two that stand so far
    apart, what the later counts for the earlier, and the earlier for the later."""
    order = np.lexsort((places.sequence, places.conversation))
    conversations, sequences = places.conversation[order], places.sequence[order]
    times, asked = places.created_at[order], (places.asks[order] & Asks.LAST) > 0
    decay = np.array([*NEIGHBOUR_DECAY, 0.0])
    pairs = []
    # In this order a neighbour is at most as many places away as it is in sequence.
    for step in range(1, min(len(NEIGHBOUR_DECAY), len(order) - 1) + 1):
        distance = np.clip(sequences[step:] - sequences[:-step] - 1, 0, len(NEIGHBOUR_DECAY))
        together = (conversations[step:] == conversations[:-step]) & (
            np.abs(times[step:] - times[:-step]) <= SESSION_GAP_MICROSECONDS
        )
        weight = np.where(together, decay[distance], 0.0)
        answers = together & asked[:-step] & (distance == 0)
        pairs.append((step, weight, weight + np.where(answers, ANSWER_WEIGHT, 0.0)))
    return order, pairs


def _boost(name: str, role: int, named: set[str]) -> float:
    by_user = USER_BOOST if role == type_pb2.ROLE_USER else 1.0
    return by_user * (SPEAKER_BOOST if named.intersection(_WORD.findall(name.lower())) else 1.0)


def _scaled(found: Sequence[Found], rows: NDArray[np.intp], count: int) -> Column:
    """The scores divided by their best, each in its row."""
    scaled = np.zeros(count)
    best = max((each.score for each in found), default=0.0)
    if best > 0:
        scaled[rows] = np.array([each.score for each in found]) / best
    return scaled
