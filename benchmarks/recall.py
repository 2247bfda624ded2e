"""recall_service over gRPC: appending, and searching one agent's many messages. Takes under five minutes.

python -m benchmarks.recall [--messages 100000] [--postgres]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import ExitStack

from benchmarks import corpus
from benchmarks.common import Measured, measured, percentiles, progress, rate, table, timed
from benchmarks.recall_calls import MODES, Recall
from tests.support.keys import new_user
from tests.support.postgres import database, server
from tests.support.recall import environment

_SEARCHES = 300
# Nobody listens there: what is measured is appending alone, as with an embedder on another machine.
_ELSEWHERE = {
    "TRIPTYCH_RECALL_EMBEDDER": "openai",
    "TRIPTYCH_RECALL_EMBEDDER_BASE_URL": "http://127.0.0.1:9/v1",
    "TRIPTYCH_RECALL_EMBEDDER_MODEL": "elsewhere",
    "TRIPTYCH_RECALL_EMBEDDER_DIMENSIONS": "512",
}
Row = tuple[str, str, str]


async def main(messages: int, *, postgres: bool) -> None:
    with ExitStack() as stack:
        # With its defaults: unlike in tests, a commit waits for the disk.
        dsn = stack.enter_context(server(settings=())) if postgres else ""

        def store() -> dict[str, str]:
            return {"TRIPTYCH_RECALL_DSN": stack.enter_context(database(dsn))} if dsn else {}

        async with measured("recall_service", environment, **_ELSEWHERE, **store()) as target:
            rows = await _appending(Recall(target), "the embedder elsewhere", goals=True)
        async with measured("recall_service", environment, **store()) as target:
            rows += await _searching(Recall(target), target, messages)
            rows += await _appending(Recall(target), "the default embedder behind", goals=False)
    name = "PostgreSQL" if postgres else "SQLite, synchronous=FULL"
    table(f"recall_service over gRPC, the client on the same machine; {name}", rows)


async def _appending(recall: Recall, embedder: str, *, goals: bool) -> list[Row]:
    rows = []
    for clients, size, goal in ((1, 1, ""), (32, 1, "1,000"), (4, 100, "10,000")):
        calls = 2_000 if size == 1 else 300
        texts = corpus.passages(calls * size, seed=clients, longest=1)
        # Made beforehand: what is measured is the service.
        made = list(recall.appends(new_user(), texts, calls=calls, size=size, conversations=clients))
        a_second = await rate(made, clients=clients, each=size)
        what = f"append {'1 message' if size == 1 else f'batches of {size}'}, {clients} client(s), {embedder}"
        rows.append((what, f"{a_second:,.0f} messages/s", f">= {goal}/s" if goals and goal else ""))
    return rows


async def _searching(recall: Recall, target: Measured, messages: int) -> list[Row]:
    ann = new_user()
    with progress() as bar:
        task = bar.add_task("messages of one agent, embedded", total=messages)
        began = time.perf_counter()
        texts = corpus.passages(messages, longest=1)
        await recall.fill(ann, texts, messages, lambda count: bar.advance(task, count))
        await recall.until_embedded(ann)
        took = time.perf_counter() - began
    rows: list[Row] = [("that many appended and embedded by the default embedder", f"{messages / took:,.0f} /s", "")]
    for name, mode in MODES.items():
        await recall.search(ann, "warm", mode)
        calls = [await timed(lambda q=q, m=mode: recall.search(ann, q, m)) for q in corpus.questions(_SEARCHES)]  # type: ignore[misc]
        goal = "p95 <= 10 ms" if name == "hybrid" else ""
        rows.append((f"search, {name}, one agent with {messages:,} messages, p50 / p95", percentiles(calls), goal))
    return [*rows, ("RSS, files", f"{target.rss_mib():,.0f} MiB, {target.disk_mib():,.0f} MiB", "")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="of the agent that is searched")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.messages, postgres=arguments.postgres))
