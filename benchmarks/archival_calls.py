"""The calls of archival_service that are measured, and who makes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks import corpus
from benchmarks.common import Measured, timed
from embedders import Vectors
from embedders.wordllama import WordLlamaEmbedder
from servicekit.principal import Principal
from tests.support.archival import insert_request
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.type.v1 import type_pb2

BATCH = 500


class Archival:
    """Inserts and searches; vectors that the caller gives are made here by the default embedder."""

    def __init__(self, target: Measured) -> None:
        self._peer, self._stub = target.peer, ArchivalServiceStub(target.peer.channel)
        self._embedder = WordLlamaEmbedder()

    async def request(self, texts: list[str], archive: str, *, vectors: bool) -> pb.InsertPassagesRequest:
        made = insert_request(*texts, archive_id=archive)
        if vectors:
            made.vectors.extend(pb.Vector(values=row) for row in await self._embedder.embed(texts))
        return made

    async def insert(self, caller: Principal, request: pb.InsertPassagesRequest) -> None:
        await self._peer.unary(self._stub.InsertPassages, request, caller=caller)

    async def fill(self, caller: Principal, archive: str, texts: Iterator[str], count: int) -> None:
        for at in range(0, count, BATCH):
            part = list(itertools.islice(texts, min(BATCH, count - at)))
            await self.insert(caller, await self.request(part, archive, vectors=True))

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """Shape (texts, dimensions)."""
        return await self._embedder.embed(texts)

    async def search(
        self,
        caller: Principal,
        query: str,
        mode: type_pb2.SearchMode.ValueType = type_pb2.SEARCH_MODE_HYBRID,
    ) -> list[str]:
        request = pb.SearchPassagesRequest(query=query, mode=mode)
        found = await self._peer.unary(self._stub.SearchPassages, request, caller=caller)
        return [hit.passage.text for hit in found.hits]

    async def searches(self, callers: Sequence[Principal], times: int) -> list[float]:
        """Milliseconds that each of so many searches took, by callers in any order."""
        queries = list(corpus.questions(times))
        await self.search(callers[0], queries[0])
        chosen = np.random.default_rng(0).integers(len(callers), size=times)
        pairs = [(callers[at], query) for at, query in zip(chosen, queries, strict=True)]
        return [await timed(lambda u=user, q=query: self.search(u, q)) for user, query in pairs]  # type: ignore[misc]

    async def nearest_found(self, caller: Principal, texts: Sequence[str], times: int) -> tuple[int, int]:
        """Of the ten nearest among the caller's `texts`, over so many questions: how many it finds, of how many."""
        vectors, queries = await self.vectors(texts), list(corpus.questions(times))
        hits = total = 0
        for query, vector in zip(queries, await self.vectors(queries), strict=True):
            exact = {texts[at] for at in np.argpartition(vectors @ vector, -10)[-10:]}
            hits += len(exact & set(await self.search(caller, query, type_pb2.SEARCH_MODE_SEMANTIC)))
            total += len(exact)
        return hits, total
