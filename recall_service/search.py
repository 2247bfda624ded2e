"""Finds messages by words, by meaning, or by both; `ranking` says what a score is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog

from embedders import Embedder, EmbedderUnavailable, LocalEmbedder, Vectors
from recall_service.likeness import WordVectors, content_words, likeness
from recall_service.ranking import Hits, Scored, Surroundings, fuse, with_likeness
from recall_service.store import Filters, Found, Near, RecallStore, Scope, Snapshot
from servicekit.principal import Tenant
from triptych.recall.v1.recall_pb2 import Message, MessageHit
from triptych.type.v1 import type_pb2

_log = structlog.get_logger("search")
# How many of each side are considered before they are added up.
_CANDIDATES = 200
# Of so many, at least, the words are compared with the query's one by one.
_COMPARED = 40
# A hybrid search does not wait longer than this for the query's vector: words alone are an answer too.
_PATIENCE_SECONDS = 2.0
# The hits of one answer hold no more text than this.
_MOST_BYTES = 16 * 1024 * 1024


class Searcher:
    """Without `word_vectors` words are only compared by their stems, as the store does."""

    def __init__(self, store: RecallStore, embedder: Embedder, word_vectors: WordVectors | None = None) -> None:
        self._store, self._embedder, self._word_vectors = store, embedder, word_vectors

    async def search(
        self, tenant: Tenant, query: str, mode: type_pb2.SearchMode.ValueType, filters: Filters, limit: int
    ) -> list[MessageHit]:
        """The best `limit` hits, best first. Raises: EmbedderUnavailable in semantic mode only."""
        most = max(_CANDIDATES, limit)
        by_words, by_meaning = mode != type_pb2.SEARCH_MODE_SEMANTIC, mode != type_pb2.SEARCH_MODE_LEXICAL
        meant = None
        if by_meaning:
            meant = await (self._meant_if_quick if by_words else self._meant)(tenant, query, filters.scope)

        # In one thread, one after the other: to be woken by a second one costs what it saves.
        def look(seen: Snapshot) -> list[MessageHit]:
            words = seen.find_words(query, filters, most) if by_words else []
            meaning = self._near(seen, meant, filters, most, or_none=by_words) if meant is not None else []
            word_vectors = self._word_vectors if by_words and by_meaning else None
            return _ranked(seen, query, fuse(words, meaning), filters.scope, limit, word_vectors)

        return await self._store.look(tenant, look, meant.near if meant is not None else None)

    async def _meant(self, tenant: Tenant, query: str, scope: Scope) -> _Meant:
        if isinstance(self._embedder, LocalEmbedder):
            return _Meant(partial(self._embedder.embed_here, [query]), await self._store.near(tenant, scope))
        vectors, near = await asyncio.gather(self._embedder.embed([query]), self._store.near(tenant, scope))
        return _Meant(lambda: vectors, near)

    async def _meant_if_quick(self, tenant: Tenant, query: str, scope: Scope) -> _Meant | None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._meant(tenant, query, scope)
        except (EmbedderUnavailable, TimeoutError) as error:
            _log.warning("searched by words alone", problem=str(error) or "the embedder is slow")
            return None

    def _near(self, seen: Snapshot, meant: _Meant, filters: Filters, most: int, *, or_none: bool) -> list[Found]:
        try:
            (vector,) = meant.vectors()
        except EmbedderUnavailable as error:
            if not or_none:
                raise
            _log.warning("searched by words alone", problem=str(error))
            return []
        return seen.find_meaning(vector, filters, most)


@dataclass(frozen=True)
class _Meant:
    """What is searched by meaning: what gives the query's vector, and what finds those near it."""

    vectors: Callable[[], Vectors]
    near: Near


def _ranked(
    seen: Snapshot, query: str, fused: Hits, scope: Scope, limit: int, word_vectors: WordVectors | None
) -> list[MessageHit]:
    places = seen.places(fused.n.tolist(), scope)
    # Some may have been purged meanwhile.
    placed = fused if len(places) == len(fused) else fused.taken(np.isin(fused.n, places.n))
    around = Surroundings(places, query)
    ranked = around.ranked(placed, max(_COMPARED, limit))
    messages: dict[int, Message] = {}
    if word_vectors is not None and (words := content_words(query)):
        messages = seen.numbered(ranked.n[:_COMPARED].tolist())
        alike = likeness(words, {n: message.text for n, message in messages.items()}, word_vectors)
        ranked = around.ranked(with_likeness(placed, alike), limit)
    best = ranked.scored()[:limit]
    if others := [each.n for each in best if each.n not in messages]:
        messages |= seen.numbered(others)
    return _hits(best, messages)


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
                likeness=each.likeness,
            )
        )
    return hits
