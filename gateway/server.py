"""Puts the gateway together: gRPC and REST in one process, over the same keys and the same services."""

from __future__ import annotations

from contextlib import AsyncExitStack

import structlog

from gateway.auth.keys import KeyAuthenticator
from gateway.backends import Backends
from gateway.config import Settings
from gateway.mcp.door import McpDoor
from gateway.memory_servicer import MemoryServicer
from gateway.proxy import forwarding_handlers
from gateway.rest.app import VERSION, make_app
from gateway.rest.server import HttpServer
from gateway.servicer import GatewayServicer
from gateway.session.session import Sessions
from gateway.store import open_store
from gateway.stores import access
from servicekit.principal import Signer
from servicekit.rpc import Guard
from servicekit.server import GrpcServer, announce
from servicekit.settings import Environment
from triptych.gateway.v1 import gateway_pb2, memory_pb2

NAME = "gateway"
_log = structlog.get_logger("server")


async def serve(env: Environment, stack: AsyncExitStack) -> None:
    """Starts everything; the stack stops it in reverse. Raises: BadEnvironment, StoreError, PortInUse."""
    settings = Settings.read(env)
    store = open_store(settings.dsn)
    stack.push_async_callback(store.close)
    if settings.first_key is not None:
        first_key = settings.first_key.read_text().strip()
        await store.write(lambda c: access.ensure_first_key(c, first_key))
    backends = Backends(settings, Signer.from_file(NAME, settings.signing_key))
    stack.push_async_callback(backends.close)
    authenticator = KeyAuthenticator(store)
    guard = Guard(authenticator.authenticate)
    own = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
    memory = memory_pb2.DESCRIPTOR.services_by_name["MemoryService"]
    served = [own, memory, *(service for services in backends.forwarded.values() for service in services)]
    server = GrpcServer(
        [
            guard.handler(own, GatewayServicer(store, authenticator, Sessions(backends, guard.authenticate))),
            guard.handler(memory, MemoryServicer(backends)),
            forwarding_handlers(guard, backends.forwarded),
        ],
        [service.full_name for service in served],
        reflection=settings.running.reflection,
    )
    mcp = McpDoor(backends, VERSION)
    await mcp.start()
    stack.push_async_callback(mcp.stop)
    http = HttpServer(make_app(backends, authenticator, mcp), settings.http_listen)
    http_url = await http.start()
    stack.push_async_callback(http.stop, settings.running.drain_seconds)
    grpc_address = await server.start(settings.grpc_listen)
    stack.push_async_callback(server.stop, settings.running.drain_seconds)
    announce(NAME, grpc=grpc_address, http=http_url)
    _log.info("serving", grpc=grpc_address, http=http_url)
