"""Qdrant's own gRPC contract over real Edge shards: the client and the wire are real, the engine is, the server is not.

What it does not understand it refuses, so that nothing passes unseen. Shard keys and replicas are noted, not acted on.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import qdrant_edge as edge
from google.protobuf.json_format import MessageToDict
from qdrant_client import grpc as q
from qdrant_client.conversions.conversion import payload_to_grpc  # noqa: F401  the module must load before the stubs
from qdrant_client.grpc.collections_service_pb2_grpc import CollectionsServicer, add_CollectionsServicer_to_server
from qdrant_client.grpc.points_service_pb2_grpc import PointsServicer, add_PointsServicer_to_server

from archival_service.stores import points


@dataclass
class Collection:
    """What was asked for when it was made, and the shard that holds its points."""

    request: Any
    shard: edge.EdgeShard
    fields: dict[str, Any] = field(default_factory=dict)
    shard_keys: list[str] = field(default_factory=list)
    keys_written: set[str] = field(default_factory=set)


class Facade(CollectionsServicer, PointsServicer):
    """`failing`: every call is refused as by a server that is going down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.collections: dict[str, Collection] = {}
        self.failing = False
        self.url = ""

    async def CollectionExists(self, request: Any, context: Any) -> Any:
        await self._check(context)
        there = request.collection_name in self.collections
        return q.CollectionExistsResponse(result=q.CollectionExists(exists=there))

    async def Create(self, request: Any, context: Any) -> Any:
        await self._check(context)
        folder = self._folder / request.collection_name
        folder.mkdir()
        size = request.vectors_config.params_map.map[points.DENSE].size
        config = edge.EdgeConfig(
            vectors={points.DENSE: edge.EdgeVectorParams(size=size, distance=edge.Distance.Dot)},
            sparse_vectors={points.WORDS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        )
        self.collections[request.collection_name] = Collection(request, edge.EdgeShard.create(str(folder), config))
        return q.CollectionOperationResponse(result=True)

    async def Get(self, request: Any, context: Any) -> Any:
        """Both services have a method of this name: the collection's is the one that is called."""
        made = (await self._of(request, context)).request
        params = q.CollectionParams(
            shard_number=made.shard_number,
            replication_factor=made.replication_factor,
            vectors_config=made.vectors_config,
        )
        # A server tells its defaults too, and the client relies on that.
        graph = q.HnswConfigDiff(ef_construct=100, full_scan_threshold=10_000)
        graph.MergeFrom(made.hnsw_config)
        optimizers = q.OptimizersConfigDiff(
            deleted_threshold=0.2, vacuum_min_vector_number=1_000, flush_interval_sec=5, default_segment_number=2
        )
        config = q.CollectionConfig(
            params=params,
            hnsw_config=graph,
            optimizer_config=optimizers,
            wal_config=q.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0),
        )
        return q.GetCollectionInfoResponse(result=q.CollectionInfo(status=1, config=config, segments_count=1))

    async def Delete(self, request: Any, context: Any) -> Any:
        """As `Get`: of points if points are named."""
        if not isinstance(request, q.DeletePoints):
            collection = await self._of(request, context)
            collection.shard.close()
            del self.collections[request.collection_name]
            return q.CollectionOperationResponse(result=True)
        shard = (await self._of(request, context)).shard
        shard.update(edge.UpdateOperation.delete_points([each.num for each in request.points.points.ids]))
        return q.PointsOperationResponse(result=q.UpdateResult(status=2))

    async def CreateShardKey(self, request: Any, context: Any) -> Any:
        (await self._of(request, context)).shard_keys.append(request.request.shard_key.keyword)
        return q.CreateShardKeyResponse(result=True)

    async def CreateFieldIndex(self, request: Any, context: Any) -> Any:
        collection = await self._of(request, context)
        collection.fields[request.field_name] = MessageToDict(request)
        integer = request.field_type == q.FieldType.FieldTypeInteger
        kind = edge.PayloadSchemaType.Integer if integer else edge.PayloadSchemaType.Keyword
        collection.shard.update(edge.UpdateOperation.create_field_index(request.field_name, kind))
        return q.PointsOperationResponse(result=q.UpdateResult(status=2))

    async def Upsert(self, request: Any, context: Any) -> Any:
        collection = await self._of(request, context)
        assert request.wait, "an answer must mean that it is found"
        keys = {each.keyword for each in request.shard_key_selector.shard_keys}
        if bool(keys) != bool(collection.shard_keys) or not keys <= set(collection.shard_keys):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no such shard keys: {keys}")
        collection.keys_written.update(keys)
        made = [edge.Point(each.id.num, _vectors(each), _payload(each)) for each in request.points]
        collection.shard.update(edge.UpdateOperation.upsert_points(made))
        return q.PointsOperationResponse(result=q.UpdateResult(status=2))

    async def Count(self, request: Any, context: Any) -> Any:
        shard = (await self._of(request, context)).shard
        return q.CountResponse(result=q.CountResult(count=shard.count(edge.CountRequest(exact=True))))

    async def QueryBatch(self, request: Any, context: Any) -> Any:
        shard = (await self._of(request, context)).shard
        results = []
        for each in request.query_points:
            found = shard.query(
                edge.QueryRequest(
                    limit=each.limit, query=_query(each), filter=_filter(each.filter), params=_params(each.params)
                )
            )
            scored = [q.ScoredPoint(id=q.PointId(num=point.id), score=point.score) for point in found]
            results.append(q.BatchResult(result=scored))
        return q.QueryBatchResponse(result=results)

    async def _of(self, request: Any, context: Any) -> Collection:
        await self._check(context)
        if request.collection_name not in self.collections:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such collection")
        return self.collections[request.collection_name]

    async def _check(self, context: Any) -> None:
        if self.failing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "going down")


@asynccontextmanager
async def serving() -> AsyncIterator[Facade]:
    """A facade with nothing in it, on a free port."""
    with tempfile.TemporaryDirectory(prefix="triptych-qdrant-") as folder:
        facade = Facade(Path(folder))
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 * 1024 * 1024)])
        add_CollectionsServicer_to_server(facade, server)
        add_PointsServicer_to_server(facade, server)
        facade.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield facade
        finally:
            await server.stop(0)
            for collection in facade.collections.values():
                collection.shard.close()


def _vectors(point: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, vector in point.vectors.vectors.vectors.items():
        kind = vector.WhichOneof("vector")
        if kind == "sparse":
            made[name] = edge.SparseVector(list(vector.sparse.indices), list(vector.sparse.values))
        elif kind == "dense":
            made[name] = list(vector.dense.data)
        elif vector.HasField("indices"):
            made[name] = edge.SparseVector(list(vector.indices.data), list(vector.data))
        else:
            made[name] = list(vector.data)
    return made


def _payload(point: Any) -> dict[str, Any]:
    return {name: _value(value) for name, value in point.payload.items()}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    return [_value(each) for each in value.list_value.values] if kind == "list_value" else getattr(value, kind)


def _query(request: Any) -> Any:
    nearest = request.query.nearest
    if nearest.WhichOneof("variant") == "sparse":
        sparse = edge.SparseVector(list(nearest.sparse.indices), list(nearest.sparse.values))
        return edge.Query.Nearest(sparse, using=request.using)
    return edge.Query.Nearest(list(nearest.dense.data), using=request.using)


def _filter(given: Any) -> Any:
    assert not given.should, "only `must` is understood here"
    assert not given.must_not, "only `must` is understood here"
    return edge.Filter(must=[_condition(each.field) for each in given.must])


def _condition(asked: Any) -> Any:
    if asked.HasField("range"):
        bounds = {name: getattr(asked.range, name) for name in ("gte", "lte") if asked.range.HasField(name)}
        return edge.FieldCondition(asked.key, range=edge.RangeFloat(**bounds))
    if asked.match.WhichOneof("match_value") == "keywords":
        return edge.FieldCondition(asked.key, match=edge.MatchAny(list(asked.match.keywords.strings)))
    return edge.FieldCondition(asked.key, match=edge.MatchValue(asked.match.keyword))


def _params(given: Any) -> Any:
    if given.HasField("idf"):
        return edge.SearchParams(idf=edge.IdfParams(corpus=_filter(given.idf.corpus)))
    return edge.SearchParams(exact=True)
