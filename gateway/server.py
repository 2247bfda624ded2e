"""Puts the gateway together: gRPC and REST in one process, over the same keys and the same services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog

from gateway.agentfile.servicer import AgentFileServicer
from gateway.audit import AuditLog
from gateway.auth.keys import Authenticator
from gateway.auth.oidc import Oidc
from gateway.backends import Backends
from gateway.batches.batches import Batches
from gateway.batches.runner import BatchRunner
from gateway.batches.servicer import BatchServicer
from gateway.config import Settings
from gateway.groups.groups import Groups
from gateway.groups.servicer import GroupServicer
from gateway.leaving.eraser import Eraser
from gateway.leaving.export import Exporter
from gateway.mcp.entrance import McpEntrance
from gateway.memory_servicer import MemoryServicer
from gateway.periodic import Periodic
from gateway.proxy import forwarding_handlers
from gateway.rest.app import VERSION, make_app
from gateway.rest.catalogue import Catalogue
from gateway.rest.server import HttpServer
from gateway.secret import ServerSecret
from gateway.servicer import GatewayServicer, Parts
from gateway.session.session import Sessions
from gateway.store import Store, open_store
from gateway.stores import keys, secret_check
from gateway.usage.admission import Admission
from gateway.usage.book import UsageBook
from gateway.usage.stored import StoredBytes
from servicekit.metrics import Metrics
from servicekit.principal import Principal, Signer
from servicekit.rpc import Guard, Metadata
from servicekit.server import GrpcServer, announce
from servicekit.settings import Environment
from triptych.gateway.v1 import agent_file_pb2, batch_pb2, gateway_pb2, group_pb2, memory_pb2

NAME = "gateway"
_log = structlog.get_logger("server")
_NOTE_USES_SECONDS = 30.0
_WRITE_DOWN_SECONDS = 5.0
_AUDIT_SECONDS = 1.0


async def serve(env: Environment, stack: AsyncExitStack) -> None:
    """Starts everything; the stack stops it in reverse. Raises: BadEnvironment, StoreError, PortInUse."""
    settings = Settings.read(env)
    store = open_store(settings.dsn)
    stack.push_async_callback(store.close)
    secret = ServerSecret.from_file(settings.secret)
    await _prepare(store, secret, settings)
    book = UsageBook(store, settings.limits)
    admission = Admission(book)
    _every(stack, "usage", _WRITE_DOWN_SECONDS, book.write_down)
    backends = Backends(settings, Signer.from_file(NAME, settings.signing_key), book, admission)
    stack.push_async_callback(backends.close)
    book.count_by(StoredBytes(backends).count)
    authenticator = Authenticator(store, secret, Oidc(settings.oidc) if settings.oidc else None)
    _every(stack, "last uses", _NOTE_USES_SECONDS, authenticator.note_uses)
    audit = AuditLog(store)
    _every(stack, "audit", _AUDIT_SECONDS, audit.write_down)
    eraser = Eraser(store, backends, book)
    stack.push_async_callback(eraser.close)
    metrics = await Metrics.open(settings.metrics_listen, stack)
    runner = BatchRunner(store, backends)
    stack.push_async_callback(runner.close)
    batches = Batches(store, backends, runner)
    groups = Groups(store, backends)
    stack.push_async_callback(groups.detached.close)
    guard = _guard(authenticator, admission, audit, metrics)
    sessions = Sessions(backends, guard.authenticate, audit.rpc)
    servicer = GatewayServicer(
        Parts(store, secret, authenticator, book, audit, eraser, Exporter(backends, store), sessions)
    )
    mcp = McpEntrance(backends, VERSION)
    stack.push_async_callback(mcp.stop)

    catalogue = Catalogue(backends)
    own = (
        (gateway_pb2, servicer),
        (memory_pb2, MemoryServicer(backends)),
        (group_pb2, GroupServicer(groups)),
        (batch_pb2, BatchServicer(batches, backends)),
        (agent_file_pb2, AgentFileServicer(store, backends, catalogue)),
    )
    server = _grpc_server(guard, own, backends, settings)
    app = make_app(backends, catalogue, authenticator, admission, audit, servicer, mcp, batches, groups, settings)
    http = HttpServer(app, settings.http_listen, settings.tls)
    http_url = await http.start()
    stack.push_async_callback(http.stop, settings.running.drain_seconds)
    grpc_address = await server.start(settings.grpc_listen, settings.tls)
    stack.push_async_callback(server.stop, settings.running.drain_seconds)
    eraser.start()
    runner.start()
    announce(NAME, grpc=grpc_address, http=http_url, **metrics.announced)
    _log.info("serving", grpc=grpc_address, http=http_url)


def _guard(authenticator: Authenticator, admission: Admission, audit: AuditLog, metrics: Metrics) -> Guard:
    async def enter(metadata: Metadata, method: str) -> Principal:
        caller = await authenticator.authenticate(metadata, method)
        await admission.request(caller.tenant)
        return caller

    return Guard(enter, ended=audit.rpc, timed=metrics.timed, recheck=authenticator.authenticate)


def _grpc_server(guard: Guard, own: Sequence[tuple[Any, object]], backends: Backends, settings: Settings) -> GrpcServer:
    """Its own services (each its contract's module, and who serves it), and those of the tiers."""
    mine = [(service, each) for module, each in own for service in module.DESCRIPTOR.services_by_name.values()]
    served = [service for service, _ in mine] + [each for services in backends.forwarded.values() for each in services]
    return GrpcServer(
        [
            *(guard.handler(service, servicer) for service, servicer in mine),
            forwarding_handlers(guard, backends.forwarded),
        ],
        [service.full_name for service in served],
        reflection=settings.running.reflection,
    )


def _every(stack: AsyncExitStack, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Starts it; the stack ends it with a last run."""
    periodic = Periodic(name, seconds, work)
    periodic.start()
    stack.push_async_callback(periodic.close)


async def _prepare(store: Store, secret: ServerSecret, settings: Settings) -> None:
    """Brings the keys up to this version and this configuration. Raises: StoreError for another secret than before."""
    await store.write(lambda c: secret_check.check(c, secret))
    await store.write(lambda c: keys.add_secret(c, secret))
    if settings.first_key is not None:
        first_key = settings.first_key.read_text().strip()
        await store.write(lambda c: keys.ensure_first(c, secret, first_key))
