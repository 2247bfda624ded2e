"""recall_service over gRPC: appending, and searching one agent's many messages. Takes under five minutes.

python -m benchmarks.recall [--only append search behind] [--messages 100000] [--postgres]

append: the embedder is elsewhere; search: the default embedder has embedded all; behind: it embeds what is appended.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import corpus
from benchmarks.common import Measured, measured, percentiles, progress, rate, table, timed
from benchmarks.recall_calls import MODES, Recall
from tests.support.keys import new_user
from tests.support.postgres import database, server
from tests.support.recall import environment

_PARTS = ("append", "search", "behind")
_SEARCHES = 300
# Single appends, and batches; PostgreSQL, which is slower, gets fewer.
_CALLS, _CALLS_POSTGRES = (2_000, 300), (600, 100)
_MESSAGES, _MESSAGES_POSTGRES = 100_000, 20_000
# Nobody listens there: what is measured is appending alone, as with an embedder on another machine.
_ELSEWHERE = {
    "TRIPTYCH_RECALL_EMBEDDER": "openai",
    "TRIPTYCH_RECALL_EMBEDDER_BASE_URL": "http://127.0.0.1:9/v1",
    "TRIPTYCH_RECALL_EMBEDDER_MODEL": "elsewhere",
    "TRIPTYCH_RECALL_EMBEDDER_DIMENSIONS": "512",
}
Row = tuple[str, str, str]


async def main(parts: Sequence[str], messages: int, *, postgres: bool) -> None:
    calls = _CALLS_POSTGRES if postgres else _CALLS
    rows: list[Row] = []
    with ExitStack() as stack:
        # With its defaults: unlike in tests, a commit waits for the disk.
        dsn = stack.enter_context(server(settings=())) if postgres else ""

        def store() -> dict[str, str]:
            return {"TRIPTYCH_RECALL_DSN": stack.enter_context(database(dsn))} if dsn else {}

        if "append" in parts:
            async with measured("recall_service", environment, **_ELSEWHERE, **store()) as target:
                rows += await _appending(Recall(target), "the embedder elsewhere", calls)
        if "search" in parts:
            async with measured("recall_service", environment, **store()) as target:
                rows += await _searching(Recall(target), target, messages)
        if "behind" in parts:
            async with measured("recall_service", environment, **store()) as target:
                rows += await _appending(Recall(target), "the default embedder behind", calls)
    name = "PostgreSQL" if postgres else "SQLite, synchronous=FULL"
    table(f"recall_service over gRPC, the client on the same machine; {name}", rows)


async def _appending(recall: Recall, embedder: str, calls_of: tuple[int, int]) -> list[Row]:
    rows = []
    for clients, size, goal in ((1, 1, ""), (32, 1, "1,000"), (4, 100, "10,000")):
        calls = calls_of[size > 1]
        texts = corpus.passages(calls * size, seed=clients, longest=1)
        # Made beforehand: what is measured is the service.
        made = list(recall.appends(new_user(), texts, calls=calls, size=size, conversations=clients))
        a_second = await rate(made, clients=clients, each=size)
        what = f"append {'1 message' if size == 1 else f'batches of {size}'}, {clients} client(s), {embedder}"
        rows.append((what, f"{a_second:,.0f} messages/s", f">= {goal}/s" if goal else ""))
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
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS, help="these parts")
    parser.add_argument("--messages", type=int, help="of the agent that is searched: 100,000; on PostgreSQL 20,000")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    arguments = parser.parse_args()
    messages = arguments.messages or (_MESSAGES_POSTGRES if arguments.postgres else _MESSAGES)
    asyncio.run(main(arguments.only, messages, postgres=arguments.postgres))
