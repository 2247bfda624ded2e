"""archival_service on the way to a million passages: what each call costs at each size, and how that grows.

A tenth of the passages are one large user's, the rest 900 each of small ones.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import corpus, growth
from benchmarks.archival_calls import BATCH, Archival
from benchmarks.common import Measured, measured, progress, table, timed
from servicekit.principal import Principal
from tests.support.archival import environment, insert_request
from tests.support.keys import new_user

_SMALL, _PART = 900, 10
_SEARCHES, _INSERTS = 300, 100
_SEED = 3
# The large user has a shard of their own from here on.
_PROMOTED = 10_000
_PATIENCE_SECONDS = 1_200


@dataclass
class Users:
    """Who has what. `said`: the large one's passages."""

    large: Principal = field(default_factory=new_user)
    archive: str = field(default_factory=lambda: insert_request("x").archive_id)
    said: list[str] = field(default_factory=list)
    small: list[Principal] = field(default_factory=list)

    def passages(self) -> int:
        return len(self.said) + _SMALL * len(self.small)


async def main(passages: int, folder: Path | None, plot: Path) -> None:
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size < passages] + [passages]
    users, texts, costs = Users(), corpus.passages(2 * passages, seed=_SEED), growth.Costs()
    with ExitStack() as stack:
        path = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="triptych-bench-")))
        with progress() as bar:
            task = bar.add_task("passages", total=passages)
            for size in sizes:
                began = time.perf_counter()
                async with measured("archival_service", environment, path) as target:
                    if size != sizes[0]:
                        costs.add("reopen", "s", users.passages(), time.perf_counter() - began)
                    archival = Archival(target)
                    await _fill(archival, users, texts, size, lambda count: bar.advance(task, count))
                    await _until_quiet(target, len(users.said))
                    await _measure(archival, target, users, costs)
                    target.service.stop()
        began = time.perf_counter()
        async with measured("archival_service", environment, path) as target:
            costs.add("reopen", "s", users.passages(), time.perf_counter() - began)
            hits, total = await Archival(target).nearest_found(users.large, users.said, _SEARCHES)
            target.service.stop()
    rows = [*costs.rows(), ("the large user's ten nearest, by meaning", f"{hits / total:.3f} ({hits:,} of {total:,})")]
    table(f"archival_service at {', '.join(f'{size:,}' for size in costs.sizes())} passages", rows)
    growth.draw(plot, "archival_service, SQLite and Qdrant Edge: a tenth one user's, 900 of each other", costs)


async def _fill(archival: Archival, users: Users, texts: Iterator[str], size: int, done: Callable[[int], None]) -> None:
    """Small users first, so that the large one's passages are the newest, as they would be after an import."""
    while len(users.small) * _SMALL < size - size // _PART:
        users.small.append(new_user())
        await archival.fill(users.small[-1], insert_request("x").archive_id, texts, _SMALL)
        done(_SMALL)
    while len(users.said) < size // _PART:
        part = [next(texts) for _ in range(min(BATCH, size // _PART - len(users.said)))]
        await archival.fill(users.large, users.archive, iter(part), len(part))
        users.said += part
        done(len(part))


async def _until_quiet(target: Measured, large: int) -> None:
    """Returns when the large user's shard has been built, and nothing works in the background any more."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < ends:
        cpu, own = target.cpu_seconds(children=True), list(target.folder.glob("index/own/*/owner.json"))
        await asyncio.sleep(3)
        if (own or large < _PROMOTED) and target.cpu_seconds(children=True) - cpu < 0.3:
            return
    raise TimeoutError("the large user's shard is not there")


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
