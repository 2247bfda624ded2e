"""recall_service as one agent's messages come to be a million: what each call costs at each size, and how that grows.

With WordLlama as the embedder, whose million vectors take minutes; the default one's would take half an hour.

python -m benchmarks.recall_growth [--messages 1000000] [--plot docs/images/recall-growth.png]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

from benchmarks import corpus, growth
from benchmarks.common import Measured, measured, progress, table, timed
from benchmarks.recall_calls import MODES, Recall
from servicekit.principal import Principal
from tests.support.keys import new_user
from tests.support.recall import environment

_SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
_SEARCHES, _APPENDS = 200, 200
_EMBEDDER = {"TRIPTYCH_RECALL_EMBEDDER": "wordllama"}


async def main(messages: int, plot: Path) -> None:
    ann, costs = new_user(), growth.Costs()
    texts = corpus.passages(2 * messages, longest=1)
    async with measured("recall_service", environment, **_EMBEDDER) as target:
        recall = Recall(target)
        with progress() as bar:
            task = bar.add_task("messages", total=messages)
            there = 0
            for size in [size for size in _SIZES if size <= messages]:
                await recall.fill(ann, texts, size - there, lambda count: bar.advance(task, count))
                there = size
                await recall.until_embedded(ann)
                await _measure(recall, target, ann, size, costs)
    sizes = ", ".join(f"{size:,}" for size in costs.sizes())
    table(f"recall_service, SQLite, one agent with {sizes} messages", costs.rows())
    growth.draw(plot, "recall_service, SQLite: one agent's messages", costs, of="messages")


async def _measure(recall: Recall, target: Measured, ann: Principal, size: int, costs: growth.Costs) -> None:
    texts = corpus.passages(_APPENDS, seed=size, longest=1)
    await _time("append", target, size, costs, recall.appends(ann, texts, calls=_APPENDS, size=1, conversations=1))
    # What has just been appended is embedded behind the searches otherwise.
    await recall.until_embedded(ann)
    for name, mode in MODES.items():
        await recall.search(ann, "warm", mode)
        searches = (partial(recall.search, ann, query, mode) for query in corpus.questions(_SEARCHES, size))
        await _time(f"search, {name}", target, size, costs, searches)
    costs.add("RSS", "MiB", size, target.rss_mib())
    costs.add("files", "MiB", size, target.disk_mib())


async def _time(
    what: str, target: Measured, size: int, costs: growth.Costs, calls: Iterable[Callable[[], Awaitable[object]]]
) -> None:
    cpu = target.cpu_seconds()
    took = [await timed(call) for call in calls]
    costs.add(f"{what}, CPU of the service", "ms of CPU", size, 1e3 * (target.cpu_seconds() - cpu) / len(took))
    costs.add(f"{what}, p50", "ms", size, statistics.median(took))
    costs.add(f"{what}, p95", "ms", size, statistics.quantiles(took, n=20)[18])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000, help="the largest size")
    parser.add_argument("--plot", type=Path, default=Path("docs/images/recall-growth.png"))
    arguments = parser.parse_args()
    asyncio.run(main(arguments.messages, arguments.plot))
