"""recall_service over gRPC: appending, and searching one agent's many messages.

python -m benchmarks.recall [--messages 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks import corpus
from benchmarks.common import Measured, measured, percentiles, progress, rate, table, timed
from servicekit.principal import Principal
from tests.support.keys import new_user
from tests.support.recall import batch, environment
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2

_MODES = {
    "lexical": type_pb2.SEARCH_MODE_LEXICAL,
    "semantic": type_pb2.SEARCH_MODE_SEMANTIC,
    "hybrid": type_pb2.SEARCH_MODE_HYBRID,
}
_SEARCHES = 300


class Recall:
    """The calls that are measured."""

    def __init__(self, target: Measured) -> None:
        self._peer, self._stub = target.peer, RecallServiceStub(target.peer.channel)

    def appends(
        self, caller: Principal, texts: Iterator[str], *, calls: int, size: int, conversations: int
    ) -> Iterator[Callable[[], Awaitable[Any]]]:
        """`calls` appends of `size` messages, to conversations in turn."""
        for number in range(calls):
            request = batch(*itertools.islice(texts, size), conversation=f"conv-{number % conversations}")
            yield lambda request=request: self._peer.unary(self._stub.AppendMessages, request, caller=caller)

    async def search(self, caller: Principal, query: str, mode: type_pb2.SearchMode.ValueType) -> int:
        request = pb.SearchMessagesRequest(query=query, agent_id="agent-1", mode=mode)
        return len((await self._peer.unary(self._stub.SearchMessages, request, caller=caller)).hits)

    async def embedded(self, caller: Principal, text: str) -> None:
        """Returns when the last message, `text`, is found by its meaning: the outbox is empty then."""
        request = pb.SearchMessagesRequest(query=text, agent_id="agent-1", mode=type_pb2.SEARCH_MODE_SEMANTIC, limit=1)
        while True:
            hits = (await self._peer.unary(self._stub.SearchMessages, request, caller=caller)).hits
            if hits and hits[0].message.text == text:
                return
            await asyncio.sleep(0.5)


async def main(messages: int) -> None:
    async with measured("recall_service", environment) as target:
        recall = Recall(target)
        rows = [await _appending(recall, clients, size) for clients, size in ((1, 1), (32, 1), (4, 100))]
        rows += await _searching(recall, target, messages)
    table("recall_service over gRPC, embedded store, synchronous=FULL", rows)


async def _appending(recall: Recall, clients: int, size: int) -> tuple[str, str]:
    calls = 1_500 if size == 1 else 200
    texts = corpus.passages(calls * size)
    # Made beforehand: what is measured is the service.
    made = list(recall.appends(new_user(), texts, calls=calls, size=size, conversations=clients))
    a_second = await rate(made, clients=clients, each=size)
    return f"append, batches of {size}, {clients} client(s)", f"{a_second:,.0f} messages/s"


async def _searching(recall: Recall, target: Measured, messages: int) -> list[tuple[str, str]]:
    ann = new_user()
    with progress() as bar:
        task = bar.add_task("messages of one agent", total=messages)
        for call in recall.appends(ann, corpus.passages(messages), calls=messages // 1000, size=1000, conversations=20):
            await call()
            bar.advance(task, 1000)
        last = "the very last of all these messages says xylophone"
        for call in recall.appends(ann, iter([last]), calls=1, size=1, conversations=1):
            await call()
        waiting = bar.add_task("embedding them", total=None)
        await recall.embedded(ann, last)
        bar.update(waiting, total=1, completed=1)
    rows = []
    for name, mode in _MODES.items():
        await recall.search(ann, "warm", mode)
        took = [await timed(lambda q=q, m=mode: recall.search(ann, q, m)) for q in corpus.questions(_SEARCHES)]  # type: ignore[misc]
        rows.append((f"search, {name}, one agent with {messages:,} messages, p50 / p95", percentiles(took)))
    return [*rows, ("RSS, files", f"{target.rss_mib():,.0f} MiB, {target.disk_mib():,.0f} MiB")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="of the agent that is searched")
    asyncio.run(main(parser.parse_args().messages))
