"""How long archival_service stands still while it looks after its index, and an owner moves to a shard with a graph.

    python -m benchmarks.archival_pauses --passages 100000

The store and its index are in this process, as they are in the service. One user has so many passages, which are
written as rows: the index is built of them, a graph is built by another process, and the shard with it is opened and
takes over. Meanwhile another user searches and inserts in turn, and a heartbeat of the event loop, which needs Python's
global lock as everything else here, tells for how long neither could go on.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import operator
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from archival_service import opening
from archival_service.store import Filters, Query
from archival_service.stores import awaiting
from archival_service.stores.edge import EdgeIndex
from benchmarks import archival_growth, corpus
from benchmarks.common import percentiles, table
from embedders.wordllama import WordLlamaEmbedder
from servicekit import ids
from servicekit.principal import Tenant
from tests.support.archival import Opened, insert_request, opened
from tests.support.keys import new_user
from tests.support.recall import eventually

_BEAT_SECONDS = 0.002
_PAUSE_SECONDS = 0.01
_SETTLED_SECONDS = 3
_PATIENCE_SECONDS = 1_800


@dataclass
class Beats:
    """Milliseconds by which the loop was late, and that each of another user's calls took."""

    late: list[float] = field(default_factory=list)
    searches: list[float] = field(default_factory=list)
    inserts: list[float] = field(default_factory=list)


async def main(passages: int, folder: Path) -> None:
    large, texts = new_user(), corpus.passages(passages, seed=5)
    await _write(folder, large.tenant, texts)
    phases: dict[str, Beats] = {}
    async with opened(folder, WordLlamaEmbedder(), settle_seconds=2.0) as archival:
        edge = _edge(archival)
        other = asyncio.create_task(_another(archival, phases))
        with _measured(phases, "the index is built of all"):
            await archival.index.built()
        with _measured(phases, "a shard is filled, its graph built and opened"):
            await eventually(lambda: _own(edge, large.tenant), bool, seconds=_PATIENCE_SECONDS)
        with _measured(phases, "the shared shard lets go of what moved"):
            await eventually(lambda: edge.shared_has(large.tenant), operator.not_, seconds=_PATIENCE_SECONDS)
            await asyncio.sleep(_SETTLED_SECONDS)
        other.cancel()
        await asyncio.wait([other])
    rows = [
        (phase, f"{max(beats.late):.0f} ms", percentiles(beats.searches), percentiles(beats.inserts))
        for phase, beats in phases.items()
    ]
    headings = ("", "longest pause", "another's search p50 / p95", "another's insert p50 / p95")
    table(f"while an owner of {passages:,} passages gets a shard of their own", [headings, *rows])


async def _write(folder: Path, tenant: Tenant, texts: Iterator[str]) -> None:
    embedder = WordLlamaEmbedder()
    sql = opening.open_sql(f"sqlite:///{folder}/archival.db")
    await sql.write(lambda c: awaiting.begin(c, f"{embedder.model}/{embedder.dimensions}"))
    archive_id = ids.new("archive")
    while part := list(itertools.islice(texts, archival_growth.ROWS)):
        await archival_growth.write(sql, embedder, tenant, archive_id, part)
    await sql.close()


def _edge(archival: Opened) -> EdgeIndex:
    """Behind what builds it."""
    index = getattr(archival.index.real, "index", archival.index.real)
    assert isinstance(index, EdgeIndex)
    return index


async def _own(edge: EdgeIndex, tenant: Tenant) -> int:
    return edge.own_passages(tenant)


@contextmanager
def _measured(phases: dict[str, Beats], name: str) -> Iterator[None]:
    """What is measured from here on belongs to this phase."""
    phases[name] = beats = Beats()
    task = asyncio.create_task(_beat(beats))
    try:
        yield
    finally:
        task.cancel()


async def _beat(beats: Beats) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_BEAT_SECONDS)
        beats.late.append(1e3 * (time.perf_counter() - began - _BEAT_SECONDS))


async def _another(archival: Opened, phases: dict[str, Beats]) -> None:
    tenant, archive_id = new_user().tenant, ids.new("archive")
    for text, question in zip(corpus.passages(10**6, seed=6), corpus.questions(10**6), strict=True):
        beats = list(phases.values())[-1]
        began = time.perf_counter()
        await archival.store.insert(tenant, insert_request(text, archive_id=archive_id))
        inserted = time.perf_counter()
        await archival.store.search(tenant, Query(question), Filters(), 10)
        beats.inserts.append(1e3 * (inserted - began))
        beats.searches.append(1e3 * (time.perf_counter() - inserted))
        await asyncio.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    given = parser.parse_args()
    made = Path(tempfile.mkdtemp(prefix="triptych-bench-"))
    try:
        asyncio.run(main(given.passages, made))
    finally:
        shutil.rmtree(made)
