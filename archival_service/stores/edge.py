"""The index: one Qdrant Edge shard in this process, with a dense vector, BM25 terms and the filter fields of a passage.

All calls go through one thread: the shard takes one writer, and its native calls must not block the event loop. There
is no `optimize()`: it holds Python's global lock while it builds HNSW graphs, and exact search within one owner's points
is faster at every size measured.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import qdrant_edge as qdrant

from archival_service.stores.outbox import Entry
from embedders import Vectors
from servicekit.principal import Tenant
from servicekit.sql import StoreError

T = TypeVar("T")

_DENSE, _WORDS = "dense", "words"
# Facts are short. BM25 compares lengths with this many words (its own default, 256, is meant for documents).
_AVERAGE_WORDS = 40
_FIELDS = {
    "owner": qdrant.PayloadSchemaType.Keyword,
    "archive": qdrant.PayloadSchemaType.Keyword,
    "tags": qdrant.PayloadSchemaType.Keyword,
    "at": qdrant.PayloadSchemaType.Integer,
}


@dataclass(frozen=True)
class Filters:
    """What may be found; empty or None means any. Times: microseconds, both ends included."""

    archive_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    all_tags: bool = False
    start: int | None = None
    end: int | None = None


class EdgeIndex:
    """Points by a passage's number `n`."""

    def __init__(self, shard: qdrant.EdgeShard, thread: ThreadPoolExecutor) -> None:
        self._shard, self._thread = shard, thread
        self._bm25 = qdrant.Bm25(qdrant.Bm25Config(avg_len=_AVERAGE_WORDS))

    @classmethod
    async def open(cls, path: Path, dimensions: int, *, fresh: bool) -> EdgeIndex:
        """Opens the shard; `fresh` throws away what is there. Raises: StoreError if it can't be opened."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="edge")
        shard = await asyncio.get_running_loop().run_in_executor(thread, _open, path, dimensions, fresh)
        return cls(shard, thread)

    async def put(self, entries: Sequence[Entry]) -> None:
        """Writes passages, new or not."""
        await self._run(lambda: self._shard.update(qdrant.UpdateOperation.upsert_points(self._points(entries))))

    async def forget(self, numbers: Sequence[int]) -> None:
        await self._run(lambda: self._shard.update(qdrant.UpdateOperation.delete_points(list(numbers))))

    async def flush(self) -> None:
        """Returns when everything written so far outlives a power cut."""
        await self._run(self._shard.flush)

    async def nearest(self, tenant: Tenant, vector: Vectors, filters: Filters, most: int) -> list[tuple[int, float]]:
        """(n, cosine) of the best matches in meaning, best first. `vector`: shape (dimensions,)."""
        query = qdrant.Query.Nearest(vector.tolist(), using=_DENSE)
        return await self._query(query, _filter(tenant, filters), most, qdrant.SearchParams(exact=True))

    async def matching(self, tenant: Tenant, text: str, filters: Filters, most: int) -> list[tuple[int, float]]:
        """(n, BM25) of the best matches in words, best first; rarity is counted among the owner's passages alone."""
        terms = self._bm25.embed_query(text)
        if not terms.indices:
            return []
        mine = qdrant.Filter(must=[_is("owner", _owner(tenant))])
        params = qdrant.SearchParams(idf=qdrant.IdfParams(corpus=mine))
        return await self._query(qdrant.Query.Nearest(terms, using=_WORDS), _filter(tenant, filters), most, params)

    async def close(self) -> None:
        await self._run(self._shard.close)
        self._thread.shutdown()

    def _points(self, entries: Sequence[Entry]) -> list[qdrant.Point]:
        return [
            qdrant.Point(
                entry.n,
                {
                    _DENSE: np.frombuffer(entry.vector, dtype="<f2").astype(np.float32).tolist(),
                    _WORDS: self._bm25.embed_document(entry.text),
                },
                {
                    "owner": _owner(Tenant(entry.account_id, entry.user_id)),
                    "archive": entry.archive_id,
                    "tags": entry.tags,
                    "at": entry.created_at,
                },
            )
            for entry in entries
        ]

    async def _query(
        self, query: qdrant.Query, where: qdrant.Filter, most: int, params: qdrant.SearchParams
    ) -> list[tuple[int, float]]:
        request = qdrant.QueryRequest(limit=most, query=query, filter=where, params=params)
        points = await self._run(lambda: self._shard.query(request))
        return [(int(point.id), point.score) for point in points]

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _open(path: Path, dimensions: int, fresh: bool) -> qdrant.EdgeShard:
    try:
        if fresh:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True, mode=0o700)
            shard = qdrant.EdgeShard.create(str(path), _config(dimensions))
            for field, kind in _FIELDS.items():
                shard.update(qdrant.UpdateOperation.create_field_index(field, kind))
            return shard
        return qdrant.EdgeShard.load(str(path), _config(dimensions))
    except Exception as error:  # the engine raises nothing more specific
        if "WouldBlock" in str(error):
            raise StoreError(f"the index {path} is in use by another process: stop that one first") from error
        raise StoreError(
            f"the index {path} can't be opened ({error}). Delete the directory: it is built again from the store"
        ) from error


def _config(dimensions: int) -> qdrant.EdgeConfig:
    return qdrant.EdgeConfig(
        vectors={_DENSE: qdrant.EdgeVectorParams(size=dimensions, distance=qdrant.Distance.Dot)},
        sparse_vectors={_WORDS: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
    )


def _owner(tenant: Tenant) -> str:
    return f"{tenant.account_id}/{tenant.user_id}"


def _is(field: str, value: str) -> Any:
    return qdrant.FieldCondition(field, match=qdrant.MatchValue(value))


def _filter(tenant: Tenant, filters: Filters) -> qdrant.Filter:
    must: list[Any] = [_is("owner", _owner(tenant))]
    if filters.archive_ids:
        must.append(qdrant.FieldCondition("archive", match=qdrant.MatchAny(list(filters.archive_ids))))
    if filters.tags and filters.all_tags:
        must.extend(_is("tags", tag) for tag in filters.tags)
    elif filters.tags:
        must.append(qdrant.FieldCondition("tags", match=qdrant.MatchAny(list(filters.tags))))
    if filters.start is not None or filters.end is not None:
        must.append(qdrant.FieldCondition("at", range=qdrant.RangeFloat(gte=filters.start, lte=filters.end)))
    return qdrant.Filter(must=must)
