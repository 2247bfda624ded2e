"""archival_service over gRPC: inserting, and searching among the passages of many users.

    python -m benchmarks.archival              100,000 passages of 1,000 users; about three minutes
    python -m benchmarks.archival --million    1,000 users with 900 and one with 100,000, measured on the way there
    python -m benchmarks.archival --again DIR  opens and measures what `--million --folder DIR` has left

Vectors of the filling are made here by the default embedder and given with the passages: what is measured is the
service. The second draws its figures over the number of passages, if matplotlib is installed (the extra `bench`).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import archival_growth, corpus
from benchmarks.archival_calls import BATCH, Archival
from benchmarks.common import measured, percentiles, progress, rate, table, timed
from embedders.wordllama import WordLlamaEmbedder
from servicekit.principal import Principal
from tests.support.archival import environment, insert_request
from tests.support.keys import new_user
from triptych.archival.v1 import archival_pb2 as pb

_PASSAGES, _USERS = 100_000, 1_000
_SEARCHES = 300
_INSERTS, _BATCHES = 400, 40


async def main() -> None:
    rows: list[tuple[str, str]] = []
    async with measured("archival_service", environment) as target:
        archival = Archival(target)
        rows += await _inserting(archival)
        users = [new_user() for _ in range(_USERS)]
        texts = corpus.passages(_PASSAGES, seed=3)
        with progress() as bar:
            task = bar.add_task("filling", total=_PASSAGES)
            for user in users:
                await archival.fill(user, insert_request("x").archive_id, texts, _PASSAGES // _USERS)
                bar.advance(task, _PASSAGES // _USERS)
        cpu = target.cpu_seconds()
        took = percentiles(await archival.searches(users, _SEARCHES))
        spent = 1e3 * (target.cpu_seconds() - cpu) / _SEARCHES
        rows.append((f"search, {_PASSAGES:,} passages of {_USERS:,} users, p50 / p95", f"{took}, CPU {spent:.1f} ms"))
        rows.append(("RSS, files", f"{target.rss_mib():,.0f} MiB, {target.disk_mib():,.0f} MiB"))
    table("archival_service over gRPC, SQLite (synchronous=FULL) and Qdrant Edge", rows)


async def _inserting(archival: Archival) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    # So many that none has enough for a shard of their own, which would be built beside what is measured.
    ann, many = new_user(), [new_user() for _ in range(8)]
    archive = insert_request("x").archive_id
    texts = corpus.passages(100_000, seed=2)
    for vectors, made_by in ((True, "the caller's vectors"), (False, "the default embedder")):
        single = [await archival.request([next(texts)], archive, vectors=vectors) for _ in range(_INSERTS)]
        took = [await timed(lambda each=each: archival.insert(ann, each)) for each in single]  # type: ignore[misc]
        rows.append((f"insert 1, {made_by}, p50 / p95", percentiles(took)))
        bulk = [
            await archival.request(list(itertools.islice(texts, BATCH)), archive, vectors=vectors)
            for _ in range(_BATCHES)
        ]
        a_second = await rate(_calls(archival, many, bulk), clients=2, each=BATCH)
        total = f"{_BATCHES * BATCH:,} in all"
        rows.append((f"insert in batches of {BATCH}, {made_by}, 2 clients", f"{a_second:,.0f} passages/s ({total})"))
    embedder, some = WordLlamaEmbedder(), list(itertools.islice(texts, 5_000))
    began = time.perf_counter()
    await embedder.embed(some)
    rows.append(("the default embedder alone", f"{len(some) / (time.perf_counter() - began):,.0f} passages/s"))
    return rows


def _calls(
    archival: Archival, callers: list[Principal], requests: list[pb.InsertPassagesRequest]
) -> Iterator[Callable[[], Awaitable[Any]]]:
    for caller, request in zip(itertools.cycle(callers), requests, strict=False):
        yield lambda caller=caller, request=request: archival.insert(caller, request)  # type: ignore[misc]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--passages", type=int, default=1_000_000, help="how many a million is, for a shorter run")
    parser.add_argument("--folder", type=Path, help="where a million passages are kept; else in a temporary one")
    parser.add_argument("--again", type=Path, metavar="DIR")
    parser.add_argument("--plot", type=Path, default=Path("docs/images/archival-growth.png"))
    given = parser.parse_args()
    if given.again:
        asyncio.run(archival_growth.again(given.again))
    elif given.million:
        asyncio.run(archival_growth.main(given.passages, given.folder, given.plot))
    else:
        asyncio.run(main())
