"""Puts the service together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import structlog

from agent_service.cleanup import Cleaner
from agent_service.config import Settings
from agent_service.context.window import WindowCache
from agent_service.models.client import ModelClient
from agent_service.preview import Previewer
from agent_service.servicer import AgentServicer
from agent_service.store import open_store
from agent_service.tiers import Tiers
from agent_service.turn_servicer import TurnServicer
from agent_service.turns.engine import TurnEngine
from agent_service.turns.parts import Parts
from agent_service.upkeep_servicer import UpkeepServicer
from servicekit import ids
from servicekit.channel import Peer
from servicekit.metering import Meter
from servicekit.principal import Signer, Verifier
from servicekit.rpc import Guard
from servicekit.server import GrpcServer, announce, signed_principal
from servicekit.settings import Environment
from triptych.agent.v1 import agent_pb2, turn_pb2, upkeep_pb2

NAME = "agent_service"
_log = structlog.get_logger("server")


async def serve(env: Environment, stack: AsyncExitStack) -> None:
    """Starts everything; the stack stops it: first the server, then the turns, then what they use.

    Raises: BadEnvironment, StoreError, PortInUse, ValueError for a key file that holds none.
    """
    settings = Settings.read(env)
    signer = Signer.from_file(NAME, settings.signing_key)
    verifier = Verifier.from_files(NAME, {"gateway": settings.gateway_key})
    store = open_store(settings.dsn)
    stack.push_async_callback(store.close)
    meter = Meter()
    tiers = Tiers(
        Peer("recall_service", settings.recall_address, signer, meter),
        Peer("archival_service", settings.archival_address, signer, meter),
    )
    stack.push_async_callback(tiers.close)
    model = ModelClient(settings.model)
    stack.push_async_callback(model.close)
    windows = WindowCache(tiers)
    parts = Parts(ids.new("process"), store, tiers, model, windows, settings.model.context_window, meter)
    engine = TurnEngine(parts)
    stack.push_async_callback(engine.close)
    cleaner = Cleaner(store, tiers)
    stack.push_async_callback(cleaner.close)
    previewer = Previewer(store, tiers, windows, model)

    guard = Guard(signed_principal(verifier), meter=meter)
    agent_service = agent_pb2.DESCRIPTOR.services_by_name["AgentService"]
    turn_service = turn_pb2.DESCRIPTOR.services_by_name["TurnService"]
    upkeep_service = upkeep_pb2.DESCRIPTOR.services_by_name["UpkeepService"]
    server = GrpcServer(
        [
            guard.handler(agent_service, AgentServicer(store, engine, model, previewer, cleaner)),
            guard.handler(turn_service, TurnServicer(store, engine)),
            guard.handler(upkeep_service, UpkeepServicer(store, engine)),
        ],
        [agent_service.full_name, turn_service.full_name, upkeep_service.full_name],
        reflection=settings.running.reflection,
    )
    # Before the first call: an unfinished turn keeps its place ahead of new ones.
    recovered = await engine.recover()
    cleaner.start()
    address = await server.start(settings.listen)
    stack.push_async_callback(server.stop, settings.running.drain_seconds)
    announce(NAME, grpc=address)
    _log.info("serving", address=address, recovered_turns=recovered)
    # The first turn should not wait for an import of a second.
    await asyncio.to_thread(model.warm_up)
