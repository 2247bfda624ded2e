"""What a message's score is made of.

The scores of words and of meaning are each scaled to their best hit and added with weights: that loses less than rank
fusion when one side is weak. To these comes how alike the words themselves are. Hits near a good one are lifted, since
an answer often stands beside the words asked for, and so are those of a speaker whom the query names, and what the
user said over what was said to them. docs/retrieval.md has the measurements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recall_service.store import Found, Place
from triptych.type.v1 import type_pb2

_WORD = re.compile(r"\w+")

LEXICAL_WEIGHT = 0.7
SEMANTIC_WEIGHT = 0.4
LIKENESS_WEIGHT = 0.5
NEIGHBOUR_WEIGHT = 0.4
# What a neighbour counts by its distance: 1 to 4 messages before or behind.
NEIGHBOUR_DECAY = (1.0, 0.7, 0.5, 0.3)
SPEAKER_BOOST = 1.8
USER_BOOST = 1.5
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


def fuse(words: Iterable[Found], meaning: Iterable[Found]) -> list[Scored]:
    """Adds up both sides' scores, each divided by its best. One side alone counts fully."""
    lexical, semantic = _scaled(words), _scaled(meaning)
    lexical_weight, semantic_weight = (LEXICAL_WEIGHT, SEMANTIC_WEIGHT) if lexical and semantic else (1.0, 1.0)
    return [
        Scored(
            n,
            lexical_weight * lexical.get(n, 0.0) + semantic_weight * semantic.get(n, 0.0),
            lexical.get(n, 0.0),
            semantic.get(n, 0.0),
        )
        for n in lexical.keys() | semantic.keys()
    ]


def with_likeness(scored: Iterable[Scored], alike: Mapping[int, float]) -> list[Scored]:
    """Adds how alike the words are, divided by the best, to those that were compared."""
    best = max(alike.values(), default=0.0)
    if best <= 0:
        return list(scored)
    scaled = {n: score / best for n, score in alike.items()}
    return [
        each._replace(score=each.score + LIKENESS_WEIGHT * scaled[each.n], likeness=scaled[each.n])
        if each.n in scaled
        else each
        for each in scored
    ]


def with_context(
    scored: Sequence[Scored], places: Mapping[int, Place], query: str, most: int | None = None
) -> list[Scored]:
    """Adds what the hits around each in its session say for it, and who spoke; gives the best `most`, in order."""
    return Surroundings([each.n for each in scored], places, query).ranked(scored, most)


class Surroundings:
    """What stands around each hit, to be asked for any scores of theirs. `numbers`: the hits, all in `places`."""

    def __init__(self, numbers: Sequence[int], places: Mapping[int, Place], query: str) -> None:
        here = [places[n] for n in numbers]
        named = set(_WORD.findall(query.lower()))
        boosts: dict[tuple[str, int], float] = {}
        for place in here:
            if (place.name, place.role) not in boosts:
                boosts[place.name, place.role] = _boost(place, named)
        self._numbers = np.array(numbers, dtype=np.int64)
        self._boosts = np.array([boosts[place.name, place.role] for place in here])
        self._order, self._pairs = _neighbours(here)

    def ranked(self, scored: Sequence[Scored], most: int | None = None) -> list[Scored]:
        """The best `most` with what stands around them. `scored`: one for each of the hits, in their order."""
        if not scored:
            return []
        scores = np.array([each.score for each in scored])
        beside = self._beside(scores)
        lifted = self._boosts * (scores + NEIGHBOUR_WEIGHT * beside)
        order = np.lexsort((-self._numbers, -lifted))[:most]
        return [scored[at]._replace(score=float(lifted[at]), neighbour=float(beside[at])) for at in order]

    def _beside(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the hits beside each count for it, one number each."""
        ordered = scores[self._order]
        sums = np.zeros(len(scores))
        for step, weight in self._pairs:
            sums[:-step] += weight * ordered[step:]
            sums[step:] += weight * ordered[:-step]
        beside = np.empty(len(scores))
        beside[self._order] = sums
        return beside


def _neighbours(here: Sequence[Place]) -> tuple[NDArray[np.intp], list[tuple[int, NDArray[np.float64]]]]:
    """An order in which neighbours are near each other; and for each distance in it, what such two count together."""
    codes: dict[str, int] = {}
    conversations = np.array([codes.setdefault(place.conversation_id, len(codes)) for place in here])
    sequences = np.array([place.sequence for place in here])
    order = np.lexsort((sequences, conversations))
    conversations, sequences = conversations[order], sequences[order]
    times = np.array([place.created_at for place in here])[order]
    decay = np.array([*NEIGHBOUR_DECAY, 0.0])
    pairs = []
    # In this order a neighbour is at most as many places away as it is in sequence.
    for step in range(1, min(len(NEIGHBOUR_DECAY), len(here) - 1) + 1):
        distance = np.clip(sequences[step:] - sequences[:-step] - 1, 0, len(NEIGHBOUR_DECAY))
        together = (conversations[step:] == conversations[:-step]) & (
            np.abs(times[step:] - times[:-step]) <= SESSION_GAP_MICROSECONDS
        )
        pairs.append((step, np.where(together, decay[distance], 0.0)))
    return order, pairs


def _boost(place: Place, named: set[str]) -> float:
    by_user = USER_BOOST if place.role == type_pb2.ROLE_USER else 1.0
    return by_user * (SPEAKER_BOOST if named.intersection(_WORD.findall(place.name.lower())) else 1.0)


def _scaled(found: Iterable[Found]) -> dict[int, float]:
    scores = {each.n: each.score for each in found}
    best = max(scores.values(), default=0.0)
    return {n: score / best for n, score in scores.items()} if best > 0 else {}
