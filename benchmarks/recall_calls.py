"""The calls of recall_service that are measured."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks.common import Measured
from servicekit.principal import Principal
from tests.support.recall import batch
from triptych.recall.v1 import recall_pb2 as pb
from triptych.recall.v1.recall_pb2_grpc import RecallServiceStub
from triptych.type.v1 import type_pb2

MODES = {
    "lexical": type_pb2.SEARCH_MODE_LEXICAL,
    "semantic": type_pb2.SEARCH_MODE_SEMANTIC,
    "hybrid": type_pb2.SEARCH_MODE_HYBRID,
}
_BATCH, _CONVERSATIONS = 1_000, 20


class Recall:
    def __init__(self, target: Measured) -> None:
        self._peer, self._stub = target.peer, RecallServiceStub(target.peer.channel)

    def appends(
        self, caller: Principal, texts: Iterator[str], *, calls: int, size: int, conversations: int
    ) -> Iterator[Callable[[], Awaitable[Any]]]:
        """`calls` appends of `size` messages, to conversations in turn."""
        for number in range(calls):
            request = batch(*itertools.islice(texts, size), conversation=f"conv-{number % conversations}")
            yield lambda request=request: self._peer.unary(self._stub.AppendMessages, request, caller=caller)

    async def fill(self, caller: Principal, texts: Iterator[str], count: int, done: Callable[[int], None]) -> None:
        """Appends `count` messages; `done` is told of each batch."""
        for first in range(0, count, _BATCH):
            size = min(_BATCH, count - first)
            conversation = f"conv-{first // _BATCH % _CONVERSATIONS}"
            request = batch(*itertools.islice(texts, size), conversation=conversation)
            await self._peer.unary(self._stub.AppendMessages, request, caller=caller)
            done(size)

    async def search(self, caller: Principal, query: str, mode: type_pb2.SearchMode.ValueType) -> int:
        request = pb.SearchMessagesRequest(query=query, agent_id="agent-1", mode=mode)
        return len((await self._peer.unary(self._stub.SearchMessages, request, caller=caller)).hits)

    async def until_embedded(self, caller: Principal) -> None:
        """Returns when a message that is appended now is found by its meaning: the outbox is empty then."""
        last = f"the very last of all these messages says {uuid.uuid4().hex}"
        for call in self.appends(caller, iter([last]), calls=1, size=1, conversations=1):
            await call()
        request = pb.SearchMessagesRequest(query=last, agent_id="agent-1", mode=type_pb2.SEARCH_MODE_SEMANTIC, limit=1)
        while True:
            hits = (await self._peer.unary(self._stub.SearchMessages, request, caller=caller)).hits
            if hits and hits[0].message.text == last:
                return
            await asyncio.sleep(0.5)
