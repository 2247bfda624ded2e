"""Finds messages by words, by meaning, or by both.

Hybrid adds weighted scores, each scaled to its best hit: a weighted sum loses less than rank fusion when one side is
weak. A message next to a good one is lifted a little, since an answer often stands beside the words asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from embedders import Embedder
from recall_service.store import Store
from recall_service.stores import index
from recall_service.stores.index import Filters
from recall_service.vectors import VectorCache
from servicekit.principal import Tenant
from triptych.recall.v1.recall_pb2 import Message, MessageHit
from triptych.type.v1 import type_pb2

LEXICAL_WEIGHT = 0.6
SEMANTIC_WEIGHT = 0.4
NEIGHBOUR_WEIGHT = 0.3
# How many of each side are considered before they are added up.
_CANDIDATES = 100


@dataclass(frozen=True)
class Scored:
    """A message's score and what it was made from."""

    n: int
    score: float
    lexical: float
    semantic: float
    neighbour: float = 0.0


class Searcher:
    def __init__(self, store: Store, embedder: Embedder, cache: VectorCache) -> None:
        self._store, self._embedder, self._cache = store, embedder, cache

    async def search(
        self, tenant: Tenant, query: str, mode: type_pb2.SearchMode.ValueType, filters: Filters, limit: int
    ) -> list[MessageHit]:
        """The best `limit` hits, best first. Raises: Unavailable if the embedder is needed and away."""
        most = max(_CANDIDATES, limit)
        lexical: list[tuple[int, float]] = []
        semantic: list[tuple[int, float]] = []
        if mode != type_pb2.SEARCH_MODE_SEMANTIC:
            lexical = await self._store.read(lambda c: index.find_words(c, tenant, query, filters, most))
        if mode != type_pb2.SEARCH_MODE_LEXICAL:
            matrix = await self._cache.get(tenant, filters.agent_id)
            (vector,) = await self._embedder.embed([query])
            semantic = matrix.nearest(vector, filters, most)
        fused = fuse(lexical, semantic)
        found = await self._store.read(lambda c: index.bodies(c, tenant, [each.n for each in fused]))
        ranked = with_neighbours([each for each in fused if each.n in found], found)
        return [_hit(each, found[each.n]) for each in ranked[:limit]]


def fuse(lexical: Iterable[tuple[int, float]], semantic: Iterable[tuple[int, float]]) -> list[Scored]:
    """Adds up both sides' scores, each divided by its best. One side alone counts fully."""
    words, meaning = _scaled(lexical), _scaled(semantic)
    word_weight, meaning_weight = LEXICAL_WEIGHT, SEMANTIC_WEIGHT
    if not words or not meaning:
        word_weight = meaning_weight = 1.0
    return [
        Scored(
            n,
            word_weight * words.get(n, 0.0) + meaning_weight * meaning.get(n, 0.0),
            words.get(n, 0.0),
            meaning.get(n, 0.0),
        )
        for n in words.keys() | meaning.keys()
    ]


def _scaled(scored: Iterable[tuple[int, float]]) -> dict[int, float]:
    scores = dict(scored)
    best = max(scores.values(), default=0.0)
    return {n: score / best for n, score in scores.items()} if best > 0 else {}


def with_neighbours(scored: list[Scored], found: dict[int, Message]) -> list[Scored]:
    """Lifts each hit by the better of the hits right before and after it in its conversation; best first."""
    place = {each.n: (found[each.n].conversation_id, found[each.n].sequence) for each in scored}
    score_at = {place[each.n]: each.score for each in scored}
    lifted = []
    for each in scored:
        conversation, sequence = place[each.n]
        beside = max(score_at.get((conversation, sequence + step), 0.0) for step in (-1, 1))
        lifted.append(Scored(each.n, each.score + NEIGHBOUR_WEIGHT * beside, each.lexical, each.semantic, beside))
    return sorted(lifted, key=lambda each: (-each.score, -each.n))


def _hit(scored: Scored, message: Message) -> MessageHit:
    return MessageHit(
        message=message,
        score=scored.score,
        lexical=scored.lexical,
        semantic=scored.semantic,
        neighbour=scored.neighbour,
    )
