"""Finds messages by words, by meaning, or by both; `ranking` says what a score is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import numpy as np
import structlog

from embedders import Embedder, EmbedderUnavailable
from recall_service.likeness import WordVectors, content_words, likeness
from recall_service.ranking import Hits, Scored, Surroundings, fuse, with_likeness
from recall_service.store import Filters, Found, RecallStore
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
        words: list[Found] = []
        meaning: list[Found] = []
        if mode == type_pb2.SEARCH_MODE_SEMANTIC:
            meaning = await self._by_meaning(tenant, query, filters, most)
        elif mode == type_pb2.SEARCH_MODE_LEXICAL:
            words = await self._store.find_words(tenant, query, filters, most)
        else:
            words, meaning = await asyncio.gather(
                self._store.find_words(tenant, query, filters, most),
                self._by_meaning_if_quick(tenant, query, filters, most),
            )
        fused = fuse(words, meaning)
        places = await self._store.places(tenant, fused.n.tolist(), filters.scope)
        # Some may have been purged meanwhile.
        placed = fused if len(places) == len(fused) else fused.taken(np.isin(fused.n, places.n))
        around = Surroundings(places, query)
        ranked = around.ranked(placed, max(_COMPARED, limit))
        messages: dict[int, Message] = {}
        if mode not in (type_pb2.SEARCH_MODE_LEXICAL, type_pb2.SEARCH_MODE_SEMANTIC) and self._word_vectors:
            messages = await self._store.numbered(tenant, ranked.n[:_COMPARED].tolist())
            ranked = around.ranked(await self._compared(query, placed, messages, self._word_vectors), limit)
        best = ranked.scored()[:limit]
        if others := [each.n for each in best if each.n not in messages]:
            messages |= await self._store.numbered(tenant, others)
        return _hits(best, messages)

    async def _compared(
        self, query: str, placed: Hits, messages: Mapping[int, Message], word_vectors: WordVectors
    ) -> Hits:
        """The scores, with what the words of these messages add to them."""
        words = content_words(query)
        if not words:
            return placed
        texts = {n: message.text for n, message in messages.items()}
        return with_likeness(placed, likeness(words, texts, word_vectors))

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
