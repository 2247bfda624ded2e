"""How the collection on a Qdrant server is made: said in one place, and made as it is said or not used at all.

Every search is one owner's. So the owner's field is the tenant index (its points lie together on the disk), and graphs
are built for each owner (`payload_m`) and none for the whole (`m` = 0). Vectors and payload are on the disk; in memory
are vectors of one byte a number, from which a search chooses what it then reads in full.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient, models

from archival_service.qdrant_settings import QdrantSettings
from archival_service.stores import points
from servicekit.principal import Tenant

# The shard key of all owners that have none of their own.
SHARED = "shared"
_TIMEOUT_SECONDS = 30


def connect(settings: QdrantSettings) -> AsyncQdrantClient:
    """A client; it connects when it is used first."""
    return AsyncQdrantClient(
        settings.url,
        prefer_grpc=True,
        grpc_port=_port(settings.url),
        api_key=settings.api_key or None,
        timeout=_TIMEOUT_SECONDS,
        check_compatibility=False,
    )


def _port(url: str) -> int:
    """The URL's own: it names the gRPC port, as all addresses do here. 6334 if it names none."""
    return urlsplit(url).port or 6334


def shard_key(settings: QdrantSettings, tenant: Tenant) -> str | None:
    """Where an owner's points are; None if the collection has no shard keys."""
    if not settings.promoted:
        return None
    name = "/".join(tenant)
    return name if name in settings.promoted else SHARED


async def create(client: AsyncQdrantClient, settings: QdrantSettings, name: str, dimensions: int) -> None:
    """Makes the collection with its indexes and shard keys."""
    await client.create_collection(
        name,
        vectors_config={points.DENSE: vectors(dimensions)},
        sparse_vectors_config={
            points.WORDS: models.SparseVectorParams(
                modifier=models.Modifier.IDF, index=models.SparseIndexParams(on_disk=True)
            )
        },
        hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
        ),
        on_disk_payload=True,
        shard_number=settings.shards,
        replication_factor=settings.replication_factor,
        # Most of the copies have a write before it is acknowledged.
        write_consistency_factor=settings.replication_factor // 2 + 1,
        sharding_method=models.ShardingMethod.CUSTOM if settings.promoted else None,
    )
    for key in (SHARED, *settings.promoted) if settings.promoted else ():
        await client.create_shard_key(name, key)
    await _index_fields(client, name)


def vectors(dimensions: int) -> models.VectorParams:
    return models.VectorParams(size=dimensions, distance=models.Distance.DOT, on_disk=True)


async def _index_fields(client: AsyncQdrantClient, name: str) -> None:
    for each in points.KEYWORDS:
        keyword = models.KeywordIndexParams(
            type=models.KeywordIndexType.KEYWORD, is_tenant=True if each == "owner" else None
        )
        await client.create_payload_index(name, each, keyword, wait=True)
    for each in points.INTEGERS:
        await client.create_payload_index(name, each, models.PayloadSchemaType.INTEGER, wait=True)


def mismatch(settings: QdrantSettings, info: models.CollectionInfo, dimensions: int) -> str:
    """What of the collection is not as it would be made now; '' if all is."""
    made, params = info.config.params.vectors, info.config.params
    dense = made.get(points.DENSE) if isinstance(made, dict) else None
    has = {
        "dimensions": dense.size if dense else None,
        "replication factor": params.replication_factor or 1,
        "shards": None if settings.promoted else params.shard_number or 1,
    }
    wanted = {
        "dimensions": dimensions,
        "replication factor": settings.replication_factor,
        "shards": None if settings.promoted else settings.shards,
    }
    return ", ".join(f"{name} {has[name]} and not {wanted[name]}" for name in has if has[name] != wanted[name])
