"""One Qdrant Edge shard: dense vectors, BM25 terms and filter fields of passages, under their numbers.

Its calls block. One thread may make them: a shard takes one writer. What it was told outlives a kill when it has been
flushed: it has no log of its own, since until then the store's outbox has it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import qdrant_edge as qdrant

from archival_service.store import Entry, Filters, Found
from archival_service.stores import points
from embedders import Vectors
from servicekit.principal import Tenant

# So many of the nearest are looked at in a graph: at 100,000 passages 0.99 of what a look at each would find.
_BREADTH = 256
# All that is asked of a point by a word is in one field, and so in one index: a flush waits for the disk some ten times
# for each, and holds Python's global lock meanwhile.
_KEYS, _AT = "keys", "at"
# A flush holds Python's global lock, for the longer the more it has to bring to the disk.
_MOST_UNFLUSHED = 5_000
# So many keys made last are kept.
_KNOWN = 1_000


class Shard:
    """`alone`: all of its passages are one owner's; then they may have a graph (see `optimizing`).

    `unflushed`: how many changes may not be on the disk; `closed`: it can't be used any more.
    """

    def __init__(self, shard: qdrant.EdgeShard, *, alone: bool) -> None:
        self._shard, self._alone = shard, alone
        self.unflushed, self.closed = 0, False

    @classmethod
    def create(cls, folder: Path, dimensions: int, *, alone: bool = False) -> Shard:
        """An empty one in `folder`, which is deleted first with all that is in it."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o700)
        made = cls(qdrant.EdgeShard.create(str(folder), _config(dimensions, alone, log=False)), alone=alone)
        made._index_fields()
        made.unflushed = 1
        return made

    @classmethod
    def load(cls, folder: Path, dimensions: int, *, alone: bool = False) -> Shard:
        loaded = cls(qdrant.EdgeShard.load(str(folder), _config(dimensions, alone)), alone=alone)
        loaded._index_fields()  # one that an older version made lacks the newer fields; what is there is left as it is
        return loaded

    def put(self, entries: Sequence[Entry]) -> None:
        made = [
            qdrant.Point(entry.n, _vectors(entry, dense))
            for entry, dense in zip(entries, points.dense(entries), strict=True)
        ]
        # Of those inserted together mostly all is the same that they are filtered by. Said once, it costs the engine
        # and what makes its types of Python's a third of what it does with each.
        same: dict[Any, list[Entry]] = {}
        for entry in entries:
            same.setdefault(_filtered_by(entry), []).append(entry)
        payloads = [
            qdrant.UpdateOperation.overwrite_payload([entry.n for entry in group], _payload(group[0]))
            for group in same.values()
        ]
        self._change([qdrant.UpdateOperation.upsert_points(made), *payloads], len(made))

    def forget(self, numbers: Sequence[int]) -> None:
        self._change([qdrant.UpdateOperation.delete_points(list(numbers))], len(numbers))

    def _change(self, operations: Sequence[qdrant.UpdateOperation], changes: int) -> None:
        self.unflushed += changes
        for operation in operations:
            self._shard.update(operation)
        if self.unflushed >= _MOST_UNFLUSHED:
            self.flush()

    def candidates(
        self, tenant: Tenant, filters: Filters, most: int, vector: Vectors | None, words: str
    ) -> tuple[list[Found], list[Found]]:
        """As `PassageIndex.candidates`."""
        where = self._filter(tenant, filters)
        dense: list[Found] = []
        sparse: list[Found] = []
        if vector is not None:
            nearest = qdrant.Query.Nearest(vector.tolist(), using=points.DENSE)
            params = qdrant.SearchParams(hnsw_ef=_BREADTH) if self._alone else qdrant.SearchParams(exact=True)
            dense = self._query(nearest, where, most, params)
        terms = points.bm25().embed_query(words)
        if terms.indices:
            sparse = self._query(qdrant.Query.Nearest(terms, using=points.WORDS), where, most, self._rarity(tenant))
        return dense, sparse

    def numbers_of(self, tenant: Tenant, most: int) -> list[int]:
        """Of so many of the owner's passages."""
        request = qdrant.ScrollRequest(
            limit=most, filter=_all(points.conditions(tenant, Filters())), with_payload=False, with_vector=False
        )
        found, _ = self._shard.scroll(request)
        return [int(point.id) for point in found]

    def optimize(self) -> None:
        """Builds the graph. It holds Python's global lock, for a minute or more."""
        self.unflushed += 1
        self._shard.optimize()

    def count(self) -> int:
        return int(self._shard.count(qdrant.CountRequest(exact=True)))

    def flush(self) -> None:
        if self.unflushed:
            self._shard.flush()
            self.unflushed = 0

    def close(self) -> None:
        """What it was told is on the disk then."""
        self.closed = True
        self.flush()
        self._shard.close()

    def _filter(self, tenant: Tenant, filters: Filters) -> qdrant.Filter | None:
        """Where all are the owner's, it is not asked of each."""
        if self._alone and filters == Filters():
            return None
        return _all(points.conditions(tenant, filters))

    def _rarity(self, tenant: Tenant) -> qdrant.SearchParams:
        """Rarity is counted among the owner's passages alone: others' must not show in a score."""
        if self._alone:
            return qdrant.SearchParams()
        return qdrant.SearchParams(idf=qdrant.IdfParams(corpus=_all(points.conditions(tenant, Filters()))))

    def _query(
        self, query: qdrant.Query, where: qdrant.Filter | None, most: int, params: qdrant.SearchParams
    ) -> list[Found]:
        found = self._shard.query(qdrant.QueryRequest(limit=most, query=query, filter=where, params=params))
        return [Found(int(point.id), point.score) for point in found]

    def _index_fields(self) -> None:
        for field, index in _field_indexes(self._alone):
            self._shard.update(qdrant.UpdateOperation.create_field_index(field, index))


def _config(dimensions: int, alone: bool, log: bool | None = None) -> qdrant.EdgeConfig:
    """A shard of one owner's is mapped from its files and not read: loading it, which holds Python's lock, is short.

    `log`: whether it has a log of its own; None leaves it as it was made.
    """
    mapped = qdrant.Memory.Cached if alone else None
    words = qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf, memory=mapped)
    return qdrant.EdgeConfig(
        vectors={points.DENSE: qdrant.EdgeVectorParams(size=dimensions, distance=qdrant.Distance.Dot)},
        sparse_vectors={points.WORDS: words},
        id_tracker_memory=mapped,
        wal_enabled=log,
        # Of what `optimize` does: a graph of all, in one segment, with one thread.
        hnsw_config=qdrant.HnswIndexConfig(
            m=16, ef_construct=100, full_scan_threshold=1_000, max_indexing_threads=1, memory=mapped
        ),
        optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=1_000, default_segment_number=1),
    )


def _field_indexes(alone: bool) -> list[tuple[str, Any]]:
    memory = qdrant.Memory.Cached if alone else None
    times = qdrant.IntegerIndexParams(lookup=False, range=True, memory=memory)
    return [(_KEYS, qdrant.KeywordIndexParams(memory=memory)), (_AT, times)]


def _filtered_by(entry: Entry) -> tuple[Any, ...]:
    """All that makes a point's payload."""
    whose = (entry.account_id, entry.user_id, entry.archive_id)
    return (*whose, tuple(entry.tags), entry.created_at, entry.document_id, entry.file_name)


def _payload(entry: Entry) -> dict[str, Any]:
    made = points.payload(entry)
    keys = [_key(field, value) for field in points.KEYWORDS if field != "tags" and (value := made.get(field))]
    return {_KEYS: keys + [_key("tags", tag) for tag in entry.tags], _AT: entry.created_at}


@lru_cache(_KNOWN)
def _key(field: str, value: str) -> str:
    """No other field's value has the same."""
    return f"{field}:{value}"


def _vectors(entry: Entry, dense: list[float] | None) -> dict[str, Any]:
    words = points.bm25().embed_document(entry.text)
    return {points.WORDS: words} if dense is None else {points.WORDS: words, points.DENSE: dense}


def _all(asked: Sequence[points.Condition]) -> qdrant.Filter:
    return qdrant.Filter(must=[_condition(each) for each in asked])


def _condition(asked: points.Condition) -> qdrant.FieldCondition:
    if isinstance(asked, points.Between):
        # A double holds microseconds exactly until the year 2255.
        return qdrant.FieldCondition(_AT, range=qdrant.RangeFloat(gte=asked.least, lte=asked.most))
    keys = [_key(asked.field, value) for value in asked.values]
    if len(keys) == 1:
        return qdrant.FieldCondition(_KEYS, match=qdrant.MatchValue(keys[0]))
    return qdrant.FieldCondition(_KEYS, match=qdrant.MatchAny(keys))
