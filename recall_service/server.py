"""Puts the service together."""

from __future__ import annotations

from contextlib import AsyncExitStack

import structlog
from threadpoolctl import threadpool_limits

from embedders import open_embedder, open_word_vectors
from recall_service import gauges
from recall_service.config import Settings
from recall_service.embedding import EmbeddingWorker
from recall_service.search import Searcher
from recall_service.servicer import RecallServicer
from recall_service.stores import open_store
from servicekit.metering import Meter
from servicekit.metrics import Metrics
from servicekit.principal import Verifier
from servicekit.rpc import Guard
from servicekit.server import GrpcServer, announce, signed_principal
from servicekit.settings import Environment
from triptych.recall.v1 import recall_pb2

NAME = "recall_service"
_log = structlog.get_logger("server")


async def serve(env: Environment, stack: AsyncExitStack) -> None:
    """Starts everything; the stack stops it in reverse. Raises: BadEnvironment, StoreError, PortInUse."""
    settings = Settings.read(env)
    # A search's matrices are small: a second thread costs more CPU than it saves, and waits for a core that others use.
    threadpool_limits(limits=1, user_api="blas")
    verifier = Verifier.from_files(NAME, {"gateway": settings.gateway_key, "agent_service": settings.agent_key})
    store = open_store(settings.dsn)
    stack.push_async_callback(store.close)
    embedder = open_embedder(settings.embedder)
    stack.push_async_callback(embedder.close)
    if await store.use_model(embedder.model, embedder.dimensions):
        _log.warning("another embedder: all messages are embedded anew, meanwhile found by words", model=embedder.model)
    worker = EmbeddingWorker(store, embedder)
    stack.push_async_callback(worker.close)
    metrics = await Metrics.open(settings.metrics_listen, stack)
    gauges.watch(metrics, store)
    service = recall_pb2.DESCRIPTOR.services_by_name["RecallService"]
    servicer = RecallServicer(store, Searcher(store, embedder, open_word_vectors()), worker)
    server = GrpcServer(
        [Guard(signed_principal(verifier), meter=Meter(), timed=metrics.timed).handler(service, servicer)],
        [service.full_name],
        reflection=settings.running.reflection,
    )
    worker.start()
    address = await server.start(settings.listen)
    stack.push_async_callback(server.stop, settings.running.drain_seconds)
    announce(NAME, grpc=address, **metrics.announced)
    _log.info("serving", address=address)
