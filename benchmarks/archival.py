"""archival_service over gRPC: inserting, and searching among the passages of many users.

    python -m benchmarks.archival [--passages 100000] [--users 1000] [--large 0]

Vectors of the filling are made here by the default embedder and given with the passages: what is measured is the
service. `--large`: passages of one more user.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import corpus
from benchmarks.common import Measured, measured, percentiles, progress, rate, table, timed
from embedders import Vectors
from embedders.wordllama import WordLlamaEmbedder
from servicekit.principal import Principal
from tests.support.archival import environment, insert_request
from tests.support.keys import new_user
from triptych.archival.v1 import archival_pb2 as pb
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.type.v1 import type_pb2

_SEARCHES = 300
_BATCH = 500
_FILLING = 3


class Archival:
    """The calls that are measured."""

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

    async def vectors(self, texts: list[str]) -> Vectors:
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


async def main(passages: int, users: int, large: int, folder: Path | None) -> None:
    rows: list[tuple[str, str]] = []
    async with measured("archival_service", environment, folder) as target:
        archival = Archival(target)
        rows += await _inserting(archival)
        small, big = [new_user() for _ in range(users)], new_user()
        await _fill(archival, [(user, passages // users) for user in small] + ([(big, large)] if large else []))
        for name, callers in (("one of many", small), *([("the large one", [big])] if large else [])):
            rows.append(
                (f"search, {name}, {passages + large:,} passages, p50 / p95", await _searching(archival, callers))
            )
        if large:
            said = list(corpus.passages(passages + large, seed=_FILLING))[passages // users * users :][:large]
            rows.append(("the large one, by meaning: of the exact ten, found", await _found(archival, big, said)))
        rows.append(("RSS, files", f"{target.rss_mib():,.0f} MiB, {target.disk_mib():,.0f} MiB"))
        kept = target.folder
        if folder is not None:
            target.service.stop()
    if folder is not None:
        began = time.perf_counter()
        async with measured("archival_service", environment, kept):
            rows.append(("open again", f"{time.perf_counter() - began:.1f} s"))
    table("archival_service over gRPC, SQLite (synchronous=FULL) and Qdrant Edge", rows)


async def _inserting(archival: Archival) -> list[tuple[str, str]]:
    ann, rows = new_user(), []
    archive = insert_request("x").archive_id
    texts = corpus.passages(100_000, seed=2)
    for vectors, made_by in ((True, "the caller's vectors"), (False, "the default embedder")):
        single = [await archival.request([next(texts)], archive, vectors=vectors) for _ in range(400)]
        took = [await timed(lambda each=each: archival.insert(ann, each)) for each in single]  # type: ignore[misc]
        rows.append((f"insert 1, {made_by}, p50 / p95", percentiles(took)))
        bulk = [
            await archival.request(list(itertools.islice(texts, _BATCH)), archive, vectors=vectors) for _ in range(40)
        ]
        a_second = await rate(_calls(archival, ann, bulk), clients=2, each=_BATCH)
        rows.append((f"insert in batches of {_BATCH}, {made_by}, 2 clients", f"{a_second:,.0f} passages/s"))
    embedder, some = WordLlamaEmbedder(), list(itertools.islice(texts, 5_000))
    began = time.perf_counter()
    await embedder.embed(some)
    rows.append(("the default embedder alone", f"{len(some) / (time.perf_counter() - began):,.0f} passages/s"))
    return rows


def _calls(
    archival: Archival, caller: Principal, requests: list[pb.InsertPassagesRequest]
) -> Iterator[Callable[[], Awaitable[Any]]]:
    for request in requests:
        yield lambda request=request: archival.insert(caller, request)  # type: ignore[misc]


async def _fill(archival: Archival, wanted: list[tuple[Principal, int]]) -> None:
    texts = corpus.passages(sum(count for _, count in wanted), seed=_FILLING)
    with progress() as bar:
        task = bar.add_task("filling", total=sum(count for _, count in wanted))
        for user, count in wanted:
            archive = insert_request("x").archive_id
            for at in range(0, count, _BATCH):
                part = list(itertools.islice(texts, min(_BATCH, count - at)))
                await archival.insert(user, await archival.request(part, archive, vectors=True))
                bar.advance(task, len(part))


async def _found(archival: Archival, user: Principal, texts: list[str]) -> str:
    """How many of the ten nearest of all the user's `texts` a search by meaning gives, over all questions."""
    vectors, queries = await archival.vectors(texts), list(corpus.questions(_SEARCHES))
    hits, total = 0, 0
    for query, vector in zip(queries, await archival.vectors(queries), strict=True):
        scores = vectors @ vector
        exact = {texts[at] for at in np.argpartition(scores, -10)[-10:]}
        hits += len(exact & set(await archival.search(user, query, type_pb2.SEARCH_MODE_SEMANTIC)))
        total += len(exact)
    return f"{hits / total:.3f} ({hits} of {total})"


async def _searching(archival: Archival, users: list[Principal]) -> str:
    generator = np.random.default_rng(0)
    queries = list(corpus.questions(_SEARCHES))
    await archival.search(users[0], queries[0])
    chosen = [users[at] for at in generator.integers(len(users), size=len(queries))]
    pairs = zip(chosen, queries, strict=True)
    return percentiles([await timed(lambda u=user, q=query: archival.search(u, q)) for user, query in pairs])  # type: ignore[misc]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000, help="of all users but the large one")
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep everything there, and measure opening it again")
    given = parser.parse_args()
    asyncio.run(main(given.passages, given.users, given.large, given.folder))
