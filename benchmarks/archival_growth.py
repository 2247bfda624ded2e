"""archival_service on the way to a million passages: what each call costs at each size, and how that grows.

A tenth of the passages are one large user's, the rest 900 each of small ones. They are written into the store as rows
with the default embedder's vectors; the service then builds its index of them, as it does when that is lost.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import insert, select

from archival_service import opening, promoting
from archival_service.stores import awaiting
from archival_service.stores.passages import owners_of_many
from archival_service.stores.rows import owned, owner
from archival_service.stores.tables import passages
from benchmarks import corpus, growth
from benchmarks.archival_calls import Archival
from benchmarks.common import Measured, measured, progress, table, timed
from embedders.wordllama import WordLlamaEmbedder
from servicekit import ids
from servicekit.principal import Principal, Tenant
from servicekit.sql import Database
from tests.support.archival import environment, index_left, insert_request
from tests.support.keys import new_user

_SMALL, _PART = 900, 10
_SEARCHES, _INSERTS = 300, 100
_SEED = 3
_PATIENCE_SECONDS = 1_800
# So many are written at once.
ROWS = 5_000
# What a shard that was replaced leaves to be deleted.
_SETTLED_SECONDS = 5


@dataclass
class Users:
    """Who has what. `said`: the large one's passages."""

    large: Principal = field(default_factory=new_user)
    archive: str = field(default_factory=lambda: insert_request("x").archive_id)
    said: list[str] = field(default_factory=list)
    small: list[Principal] = field(default_factory=list)

    def passages(self) -> int:
        return len(self.said) + _SMALL * len(self.small)


async def main(total: int, folder: Path | None, plot: Path) -> None:
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size < total] + [total]
    users, texts, costs = Users(), corpus.passages(2 * total, seed=_SEED), growth.Costs()
    with ExitStack() as stack:
        path = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="triptych-bench-")))
        bar = stack.enter_context(progress())
        task = bar.add_task("passages", total=total)
        for size in sizes:
            await _fill(path, users, texts, size, lambda count: bar.advance(task, count))
            async with measured("archival_service", environment, path) as target:
                costs.add("index built of all", "s", users.passages(), await _until_built(path, len(users.said)))
                target.service.stop()
            nearest = await _reopen(path, users, costs)
    _show(costs, nearest)
    growth.draw(plot, "archival_service, SQLite and Qdrant Edge: a tenth one user's, 900 of each other", costs)


async def again(folder: Path) -> None:
    """Opens what a run has left in `folder`, and measures that."""
    costs = growth.Costs()
    _show(costs, await _reopen(folder, await _users(folder), costs))


def _show(costs: growth.Costs, nearest: tuple[int, int]) -> None:
    hits, of = nearest
    rows = [*costs.rows(), ("the large user's ten nearest, by meaning", f"{hits / of:.3f} ({hits:,} of {of:,})")]
    table(f"archival_service at {', '.join(f'{size:,}' for size in costs.sizes())} passages", rows)


async def _reopen(folder: Path, users: Users, costs: growth.Costs) -> tuple[int, int]:
    """Measures it; gives how many of the large user's nearest were found, of how many."""
    began = time.perf_counter()
    async with measured("archival_service", environment, folder) as target:
        costs.add("reopen", "s", users.passages(), time.perf_counter() - began)
        costs.add("reopen, CPU", "s", users.passages(), target.cpu_seconds())
        costs.add("RSS when opened", "MiB", users.passages(), target.rss_mib())
        archival = Archival(target)
        await _measure(archival, target, users, costs)
        nearest = await archival.nearest_found(users.large, users.said, _SEARCHES)
        target.service.stop()
    return nearest


async def _users(folder: Path) -> Users:
    """Who has what in a store that a run has filled."""
    sql = opening.open_sql(f"sqlite:///{folder}/archival.db")
    large, *small = await sql.read(lambda c: owners_of_many(c, _SMALL))
    mine = select(passages.c.text).where(owned(passages, large)).order_by(passages.c.n)
    said = await sql.read(lambda c: list(c.execute(mine).scalars()))
    await sql.close()
    return Users(Principal(large), said=said, small=[Principal(each) for each in small])


async def _fill(folder: Path, users: Users, texts: Iterator[str], size: int, done: Callable[[int], None]) -> None:
    """Small users first, so that the large one's passages are the newest, as they would be after an import."""
    embedder = WordLlamaEmbedder()
    sql = opening.open_sql(f"sqlite:///{folder}/archival.db")
    if not await sql.read(awaiting.embedder):
        await sql.write(lambda c: awaiting.begin(c, f"{embedder.model}/{embedder.dimensions}"))
    while len(users.small) * _SMALL < size - size // _PART:
        users.small.append(new_user())
        await write(sql, embedder, users.small[-1].tenant, ids.new("archive"), list(itertools.islice(texts, _SMALL)))
        done(_SMALL)
    while len(users.said) < size // _PART:
        part = list(itertools.islice(texts, min(ROWS, size // _PART - len(users.said))))
        await write(sql, embedder, users.large.tenant, users.archive, part)
        users.said += part
        done(len(part))
    await sql.close()


async def write(sql: Database, embedder: WordLlamaEmbedder, tenant: Tenant, archive_id: str, texts: list[str]) -> None:
    """Rows of passages, of which no index is told."""
    fixed = {**owner(tenant), "archive_id": archive_id, "tags": [], "metadata": {}, "created_at": 1}
    vectors = (await embedder.embed(texts)).astype("<f2")
    rows = [
        {**fixed, "id": ids.new("passage"), "text": text, "vector": vector.tobytes()}
        for text, vector in zip(texts, vectors, strict=True)
    ]
    await sql.write(lambda c: c.execute(insert(passages), rows))


async def _until_built(folder: Path, large: int) -> float:
    """Returns, with the seconds of the first, when the index has all and the large user a shard of their own."""
    began = time.monotonic()
    seconds = None
    while time.monotonic() - began < _PATIENCE_SECONDS:
        if seconds is None and index_left(folder) == 0:
            seconds = time.monotonic() - began
        if seconds is not None and (large < promoting.LARGE or _has_own_shard(folder)):
            await asyncio.sleep(_SETTLED_SECONDS)
            return seconds
        await asyncio.sleep(0.1)
    raise TimeoutError("the index is not built")


def _has_own_shard(folder: Path) -> bool:
    return any(folder.glob("index/own/*/owner.json"))


async def _measure(archival: Archival, target: Measured, users: Users, costs: growth.Costs) -> None:
    size = users.passages()
    someone, archive = new_user(), insert_request("x").archive_id
    single = [await archival.request([text], archive, vectors=True) for text in corpus.passages(_INSERTS, seed=size)]
    took = [await timed(lambda each=each: archival.insert(someone, each)) for each in single]  # type: ignore[misc]
    costs.add("insert p50", "ms", size, statistics.median(took))
    for name, callers in (("small", users.small), ("large", [users.large])):
        cpu = target.cpu_seconds()
        took = await archival.searches(callers, _SEARCHES)
        costs.add(f"search {name} p50", "ms", size, statistics.median(took))
        costs.add(f"search {name} p95", "ms", size, statistics.quantiles(took, n=20)[18])
        costs.add(f"search {name} CPU", "ms", size, 1e3 * (target.cpu_seconds() - cpu) / _SEARCHES)
    costs.add("RSS", "MiB", size, target.rss_mib())
    costs.add("disk", "MiB", size, target.disk_mib())
