"""Finds messages by words, by meaning, or by both.

Hybrid adds weighted scores, each scaled to its best hit: a weighted sum loses less than rank fusion when one side is
weak. Hits near a good one are lifted, since an answer often stands beside the words asked for, and so are those of a
speaker whom the query names.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from embedders import Embedder, EmbedderUnavailable
from recall_service.store import Filters, Found, Place, RecallStore
from servicekit.principal import Tenant
from triptych.recall.v1.recall_pb2 import Message, MessageHit
from triptych.type.v1 import type_pb2

_log = structlog.get_logger("search")
_WORD = re.compile(r"\w+")

# Chosen on LoCoMo (evidence recall@10, turn level: plain FTS5 gives 56.6, this 75.6) and checked on LongMemEval (84.3
# and 85.8, where every setting near these is within two questions of it).
LEXICAL_WEIGHT = 0.7
SEMANTIC_WEIGHT = 0.3
NEIGHBOUR_WEIGHT = 0.4
# What a neighbour counts by its distance: 1, 2 or 3 messages before or behind.
NEIGHBOUR_DECAY = (1.0, 0.6, 0.36)
SPEAKER_BOOST = 1.3
# How many of each side are considered before they are added up.
_CANDIDATES = 200
# A hybrid search does not wait longer than this for the query's vector: words alone are an answer too.
_PATIENCE_SECONDS = 2.0
# The hits of one answer hold no more text than this.
_MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Scored:
    """A message's score and what it was made from."""

    n: int
    score: float
    lexical: float
    semantic: float
    neighbour: float = 0.0


class Searcher:
    def __init__(self, store: RecallStore, embedder: Embedder) -> None:
        self._store, self._embedder = store, embedder

    async def search(
        self, tenant: Tenant, query: str, mode: type_pb2.SearchMode.ValueType, filters: Filters, limit: int
    ) -> list[MessageHit]:
        """The best `limit` hits, best first. Raises: EmbedderUnavailable in semantic mode only."""
        most = max(_CANDIDATES, limit)
        words: list[Found] = []
        if mode != type_pb2.SEARCH_MODE_SEMANTIC:
            words = await self._store.find_words(tenant, query, filters, most)
        meaning: list[Found] = []
        if mode == type_pb2.SEARCH_MODE_SEMANTIC:
            meaning = await self._by_meaning(tenant, query, filters, most)
        elif mode != type_pb2.SEARCH_MODE_LEXICAL:
            meaning = await self._by_meaning_if_quick(tenant, query, filters, most)
        fused = fuse(words, meaning)
        places = await self._store.places(tenant, [each.n for each in fused])
        ranked = with_context([each for each in fused if each.n in places], places, query)[:limit]
        found = await self._store.numbered(tenant, [each.n for each in ranked])
        return _hits(ranked, found)

    async def _by_meaning(self, tenant: Tenant, query: str, filters: Filters, most: int) -> list[Found]:
        (vector,) = await self._embedder.embed([query])
        return await self._store.find_meaning(tenant, vector, filters, most)

    async def _by_meaning_if_quick(self, tenant: Tenant, query: str, filters: Filters, most: int) -> list[Found]:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._by_meaning(tenant, query, filters, most)
        except (EmbedderUnavailable, TimeoutError) as error:
            _log.warning("searched by words alone", problem=str(error) or "the embedder is slow")
            return []


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


def _scaled(found: Iterable[Found]) -> dict[int, float]:
    scores = {each.n: each.score for each in found}
    best = max(scores.values(), default=0.0)
    return {n: score / best for n, score in scores.items()} if best > 0 else {}


def with_context(scored: list[Scored], places: Mapping[int, Place], query: str) -> list[Scored]:
    """Adds what the hits around each in its conversation say for it, and who spoke; best first."""
    score_at = {(places[each.n].conversation_id, places[each.n].sequence): each.score for each in scored}
    named = set(_WORD.findall(query.lower()))
    lifted = []
    for each in scored:
        place = places[each.n]
        beside = sum(
            decay * score_at.get((place.conversation_id, place.sequence + step), 0.0)
            for distance, decay in enumerate(NEIGHBOUR_DECAY, start=1)
            for step in (-distance, distance)
        )
        boost = SPEAKER_BOOST if named.intersection(_WORD.findall(place.name.lower())) else 1.0
        score = boost * (each.score + NEIGHBOUR_WEIGHT * beside)
        lifted.append(Scored(each.n, score, each.lexical, each.semantic, beside))
    return sorted(lifted, key=lambda each: (-each.score, -each.n))


def _hits(ranked: Iterable[Scored], found: Mapping[int, Message]) -> list[MessageHit]:
    hits: list[MessageHit] = []
    size = 0
    for each in ranked:
        message = found.get(each.n)
        if message is None:  # purged meanwhile
            continue
        size += message.ByteSize()
        if hits and size > _MOST_BYTES:
            break
        hits.append(
            MessageHit(
                message=message,
                score=each.score,
                lexical=each.lexical,
                semantic=each.semantic,
                neighbour=each.neighbour,
            )
        )
    return hits
