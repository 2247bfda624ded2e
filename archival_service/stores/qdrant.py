"""The index on a Qdrant server or cluster, which several replicas share: `qdrant-client` over gRPC.

Imported only where a server is configured: the client takes more than a second to load.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import grpc
import structlog
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

from archival_service.qdrant_settings import QdrantSettings
from archival_service.store import Entry, Filters, Found
from archival_service.stores import points
from archival_service.stores.qdrant_set_up import shard_key
from embedders import Vectors
from servicekit.principal import Tenant
from triptych.errors import Unavailable

T = TypeVar("T")

_log = structlog.get_logger("qdrant")
_AT_ONCE = 200
# Quantized scores choose twice as many as are wanted, and the whole vectors then order them.
_DENSE_SEARCH = models.SearchParams(
    hnsw_ef=128, quantization=models.QuantizationSearchParams(rescore=True, oversampling=2.0)
)
_FAULTS = (ApiException, QdrantException, ConnectionError)


class QdrantIndex:
    """A PassageIndex whose points have a passage's number as their id.

    A write is answered when the server has it in its log and searches find it (`wait`); replication is what guards
    against losing a disk.
    """

    def __init__(self, client: AsyncQdrantClient, settings: QdrantSettings, collection: str) -> None:
        self._client, self._settings, self._collection = client, settings, collection

    async def put(self, entries: Sequence[Entry]) -> None:
        for key, part in self._by_shard(entries):
            for at in range(0, len(part), _AT_ONCE):
                some = part[at : at + _AT_ONCE]
                made = [_point(entry, dense) for entry, dense in zip(some, points.dense(some), strict=True)]
                await answer(self._client.upsert(self._collection, made, wait=True, shard_key_selector=key))

    async def forget(self, numbers: Sequence[int]) -> None:
        # Of no particular shard: whose they were is not known any more.
        for at in range(0, len(numbers), _AT_ONCE):
            ids: list[Any] = list(numbers[at : at + _AT_ONCE])
            await answer(self._client.delete(self._collection, models.PointIdsList(points=ids), wait=True))

    async def flush(self) -> None:
        """Nothing to do: what was answered is in the server's log."""

    async def candidates(
        self, tenant: Tenant, filters: Filters, most: int, *, vector: Vectors | None, words: str
    ) -> tuple[list[Found], list[Found]]:
        asked: list[models.QueryRequest] = []
        where = _filter(tenant, filters)
        if vector is not None:
            asked.append(self._request(tenant, vector.tolist(), points.DENSE, where, most, _DENSE_SEARCH))
        terms = points.bm25().embed_query(words)
        if terms.indices:
            # Rarity is counted among the owner's passages alone: others' must not show in a score.
            rarity = models.IdfCorpusParams(corpus=_filter(tenant, Filters()))
            sparse = models.SparseVector(indices=terms.indices, values=terms.values)
            params = models.SearchParams(idf=rarity)
            asked.append(self._request(tenant, sparse, points.WORDS, where, most, params))
        if not asked:
            return [], []
        answers = await answer(self._client.query_batch_points(self._collection, asked))
        sides = [[Found(int(point.id), point.score) for point in answer.points] for answer in answers]
        if vector is None:
            return [], sides[0]
        return sides[0], sides[1] if len(sides) > 1 else []

    async def count(self) -> int:
        return (await answer(self._client.count(self._collection, exact=True))).count

    async def built(self) -> None:
        """It is opened when it has all."""

    async def close(self) -> None:
        await self._client.close()

    def _request(
        self, tenant: Tenant, query: Any, using: str, where: models.Filter, most: int, params: models.SearchParams
    ) -> models.QueryRequest:
        key = shard_key(self._settings, tenant)
        return models.QueryRequest(query=query, using=using, filter=where, limit=most, params=params, shard_key=key)

    def _by_shard(self, entries: Sequence[Entry]) -> list[tuple[str | None, list[Entry]]]:
        parts: dict[str | None, list[Entry]] = {}
        for entry in entries:
            key = shard_key(self._settings, Tenant(entry.account_id, entry.user_id))
            parts.setdefault(key, []).append(entry)
        return list(parts.items())


async def answer(call: Awaitable[T]) -> T:
    """Raises: Unavailable if the server fails or can't be reached."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        _log.error("the engine failed", code=error.code().name, error=error.details())
        raise Unavailable("the passage index failed: retry later") from error
    except _FAULTS as error:
        _log.error("the engine failed", error=str(error))
        raise Unavailable("the passage index failed: retry later") from error


def _point(entry: Entry, dense: list[float] | None) -> models.PointStruct:
    terms = points.bm25().embed_document(entry.text)
    vectors: dict[str, Any] = {points.WORDS: models.SparseVector(indices=terms.indices, values=terms.values)}
    if dense is not None:
        vectors[points.DENSE] = dense
    return models.PointStruct(id=entry.n, vector=vectors, payload=points.payload(entry))


def _filter(tenant: Tenant, filters: Filters) -> models.Filter:
    return models.Filter(must=[_condition(each) for each in points.conditions(tenant, filters)])


def _condition(asked: points.Condition) -> models.FieldCondition:
    if isinstance(asked, points.Between):
        # A double holds microseconds exactly until the year 2255.
        return models.FieldCondition(key=asked.field, range=models.Range(gte=asked.least, lte=asked.most))
    if len(asked.values) == 1:
        return models.FieldCondition(key=asked.field, match=models.MatchValue(value=asked.values[0]))
    return models.FieldCondition(key=asked.field, match=models.MatchAny(any=list(asked.values)))
