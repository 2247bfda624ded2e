"""Puts the service together."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from archival_service import gauges, opening, reembedding
from archival_service.config import Settings
from archival_service.ingest import Ingest
from archival_service.keeper import Keeper
from archival_service.qdrant_settings import QdrantSettings
from archival_service.reading import Reader
from archival_service.reembedding import Reembedder
from archival_service.servicer import ArchivalServicer
from archival_service.store import PassageIndex
from archival_service.stores.indexed import IndexedStore
from embedders import Embedder, EmbedderSettings, open_embedder
from servicekit.metering import Meter
from servicekit.metrics import Metrics
from servicekit.principal import Verifier
from servicekit.rpc import Guard
from servicekit.server import GrpcServer, announce, signed_principal
from servicekit.settings import Environment
from servicekit.sql import Database, StoreError
from triptych.archival.v1 import archival_pb2

NAME = "archival_service"
_log = structlog.get_logger("server")


async def serve(env: Environment, stack: AsyncExitStack) -> None:
    """Starts everything; the stack stops it in reverse. Raises: BadEnvironment, StoreError, PortInUse."""
    settings = Settings.read(env)
    verifier = Verifier.from_files(NAME, {"gateway": settings.gateway_key, "agent_service": settings.agent_key})
    sql = opening.open_sql(settings.dsn)
    stack.push_async_callback(sql.close)
    embedder = open_embedder(settings.embedder)
    stack.push_async_callback(embedder.close)
    metrics = await Metrics.open(settings.metrics_listen, stack)
    gauges.watch(metrics, sql)
    index = await _open_index(sql, settings, embedder, stack)
    keeper = Keeper(sql, index)
    stack.push_async_callback(keeper.close)
    stack.push_async_callback(Reembedder(sql, index, embedder, keeper).close)
    service = archival_pb2.DESCRIPTOR.services_by_name["ArchivalService"]
    store = IndexedStore(sql, index, embedder, keeper)
    servicer = ArchivalServicer(store, Ingest(store, Reader(settings.documents)))
    server = GrpcServer(
        [Guard(signed_principal(verifier), meter=Meter(), timed=metrics.timed).handler(service, servicer)],
        [service.full_name],
        reflection=settings.running.reflection,
    )
    address = await server.start(settings.listen)
    stack.push_async_callback(server.stop, settings.running.drain_seconds)
    announce(NAME, grpc=address, **metrics.announced)
    _log.info("serving", address=address)


async def _open_index(sql: Database, settings: Settings, embedder: Embedder, stack: AsyncExitStack) -> PassageIndex:
    if settings.qdrant is None:
        return await opening.open_index(sql, settings.index, embedder, stack)
    from archival_service.shared_index import open_shared  # its client takes more than a second to load

    return await open_shared(sql, settings.qdrant, embedder, stack)


async def migrate_index(env: Environment) -> None:
    """The command `migrate-index`: fills the configured index from the store, counts and tries it.

    Nothing is embedded again. Raises: StoreError, BadEnvironment.
    """
    qdrant = QdrantSettings.read(env)
    if qdrant is None:
        raise StoreError("set TRIPTYCH_ARCHIVAL_QDRANT_URL: an index of Qdrant Edge is built at the start by itself")
    from archival_service.shared_index import open_shared, verify

    async with AsyncExitStack() as stack:
        sql = opening.open_sql(env.text("TRIPTYCH_ARCHIVAL_DSN"))
        stack.push_async_callback(sql.close)
        embedder = open_embedder(EmbedderSettings.read(env.environ, "ARCHIVAL"))
        stack.push_async_callback(embedder.close)
        index = await open_shared(sql, qdrant, embedder, stack)
        await index.built()
        print(f"{await verify(sql, index):,} passages are there, counted and found")


async def reembed(env: Environment) -> None:
    """The command `reembed`: all vectors anew, with the embedder that is configured now; the service is stopped.

    A service that is started with another embedder does the same by itself while it serves. Raises: StoreError.
    """
    async with AsyncExitStack() as stack:
        sql = opening.open_sql(env.text("TRIPTYCH_ARCHIVAL_DSN"))
        stack.push_async_callback(sql.close)
        embedder = open_embedder(EmbedderSettings.read(env.environ, "ARCHIVAL"))
        stack.push_async_callback(embedder.close)
        await reembedding.reembed(sql, embedder)


async def vacuum(env: Environment) -> None:
    """The command `vacuum`: what was deleted leaves the store's files, and the index's. Raises: StoreError."""
    async with AsyncExitStack() as stack:
        sql = opening.open_sql(env.text("TRIPTYCH_ARCHIVAL_DSN"))
        stack.push_async_callback(sql.close)
        await sql.vacuum()
        opening.discard_index(Path(env.text("TRIPTYCH_ARCHIVAL_INDEX")))
