"""The index: one Qdrant Edge shard in this process, with a dense vector, BM25 terms and the filter fields of a passage.

All calls go through one thread: the shard takes one writer, and its native calls must not block the event loop. There
is no `optimize()`: it holds Python's global lock while it builds HNSW graphs, and exact search within one owner's
points is faster at every size measured.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import qdrant_edge as qdrant
import structlog

from archival_service.store import Entry, Filters, Found
from archival_service.stores import points
from embedders import Vectors
from servicekit.principal import Tenant
from triptych.errors import Unavailable

T = TypeVar("T")

_log = structlog.get_logger("edge")
# So many points go to the engine at once: a search that comes in between waits some milliseconds.
_AT_ONCE = 200


class IndexUnusable(Exception):
    """What is in the directory can't be opened as a shard of these dimensions. It can be built anew."""


class EdgeIndex:
    """A PassageIndex whose points have a passage's number as their id."""

    def __init__(self, shard: qdrant.EdgeShard, thread: ThreadPoolExecutor) -> None:
        self._shard, self._thread = shard, thread

    @classmethod
    async def open(cls, folder: Path, dimensions: int) -> EdgeIndex:
        """Opens the shard in `folder`. Raises: IndexUnusable."""
        return await cls._start(lambda: _load(folder, dimensions))

    @classmethod
    async def create(cls, folder: Path, dimensions: int) -> EdgeIndex:
        """An empty shard in `folder`, which is deleted first with all that is in it. Raises: IndexUnusable."""
        return await cls._start(lambda: _create(folder, dimensions))

    @classmethod
    async def _start(cls, make: Callable[[], qdrant.EdgeShard]) -> EdgeIndex:
        thread = ThreadPoolExecutor(1, thread_name_prefix="edge")
        try:
            shard = await asyncio.get_running_loop().run_in_executor(thread, make)
        except Exception as error:  # the engine raises nothing more specific
            thread.shutdown()
            raise IndexUnusable(str(error)) from error
        return cls(shard, thread)

    async def put(self, entries: Sequence[Entry]) -> None:
        for at in range(0, len(entries), _AT_ONCE):
            await self._run(self._put, entries[at : at + _AT_ONCE])

    async def forget(self, numbers: Sequence[int]) -> None:
        for at in range(0, len(numbers), _AT_ONCE):
            operation = qdrant.UpdateOperation.delete_points(list(numbers[at : at + _AT_ONCE]))
            await self._run(self._shard.update, operation)

    async def flush(self) -> None:
        await self._run(self._shard.flush)

    async def candidates(
        self, tenant: Tenant, filters: Filters, most: int, *, vector: Vectors | None, words: str
    ) -> tuple[list[Found], list[Found]]:
        return await self._run(self._candidates, tenant, filters, most, vector, words)

    async def count(self) -> int:
        return int(await self._run(self._shard.count, qdrant.CountRequest(exact=True)))

    async def built(self) -> None:
        """It is opened when it has all."""

    async def close(self) -> None:
        await self._run(self._shard.close)
        self._thread.shutdown()

    def _put(self, entries: Sequence[Entry]) -> None:
        made = [qdrant.Point(entry.n, self._vectors(entry), points.payload(entry)) for entry in entries]
        self._shard.update(qdrant.UpdateOperation.upsert_points(made))

    def _vectors(self, entry: Entry) -> dict[str, Any]:
        made: dict[str, Any] = {points.WORDS: points.bm25().embed_document(entry.text)}
        dense = points.dense(entry)
        if dense is not None:
            made[points.DENSE] = dense
        return made

    def _candidates(
        self, tenant: Tenant, filters: Filters, most: int, vector: Vectors | None, words: str
    ) -> tuple[list[Found], list[Found]]:
        where = _filter(tenant, filters)
        dense: list[Found] = []
        sparse: list[Found] = []
        if vector is not None:
            nearest = qdrant.Query.Nearest(vector.tolist(), using=points.DENSE)
            dense = self._query(nearest, where, most, qdrant.SearchParams(exact=True))
        terms = points.bm25().embed_query(words)
        if terms.indices:
            # Rarity is counted among the owner's passages alone: others' must not show in a score.
            mine = _filter(tenant, Filters())
            params = qdrant.SearchParams(idf=qdrant.IdfParams(corpus=mine))
            sparse = self._query(qdrant.Query.Nearest(terms, using=points.WORDS), where, most, params)
        return dense, sparse

    def _query(self, query: qdrant.Query, where: qdrant.Filter, most: int, params: qdrant.SearchParams) -> list[Found]:
        found = self._shard.query(qdrant.QueryRequest(limit=most, query=query, filter=where, params=params))
        return [Found(int(point.id), point.score) for point in found]

    async def _run(self, call: Callable[..., T], *args: Any) -> T:
        """Runs it in the shard's thread. Raises: Unavailable if the engine fails."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
        except Exception as error:  # the engine raises nothing more specific
            _log.error("the engine failed", error=str(error))
            raise Unavailable("the passage index failed: retry later") from error


def _create(folder: Path, dimensions: int) -> qdrant.EdgeShard:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700)
    shard = qdrant.EdgeShard.create(str(folder), _config(dimensions))
    _index_fields(shard)
    return shard


def _load(folder: Path, dimensions: int) -> qdrant.EdgeShard:
    shard = qdrant.EdgeShard.load(str(folder), _config(dimensions))
    _index_fields(shard)  # one that an older version made lacks the newer fields; what is there is left as it is
    return shard


def _index_fields(shard: qdrant.EdgeShard) -> None:
    for fields, kind in (
        (points.KEYWORDS, qdrant.PayloadSchemaType.Keyword),
        (points.INTEGERS, qdrant.PayloadSchemaType.Integer),
    ):
        for field in fields:
            shard.update(qdrant.UpdateOperation.create_field_index(field, kind))


def _config(dimensions: int) -> qdrant.EdgeConfig:
    return qdrant.EdgeConfig(
        vectors={points.DENSE: qdrant.EdgeVectorParams(size=dimensions, distance=qdrant.Distance.Dot)},
        sparse_vectors={points.WORDS: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
    )


def _filter(tenant: Tenant, filters: Filters) -> qdrant.Filter:
    return qdrant.Filter(must=[_condition(each) for each in points.conditions(tenant, filters)])


def _condition(asked: points.Condition) -> qdrant.FieldCondition:
    if isinstance(asked, points.Between):
        # A double holds microseconds exactly until the year 2255.
        return qdrant.FieldCondition(asked.field, range=qdrant.RangeFloat(gte=asked.least, lte=asked.most))
    if len(asked.values) == 1:
        return qdrant.FieldCondition(asked.field, match=qdrant.MatchValue(asked.values[0]))
    return qdrant.FieldCondition(asked.field, match=qdrant.MatchAny(list(asked.values)))
