"""Puts the service together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import structlog

from agent_service.cleanup import Cleaner
from agent_service.config import Settings
from agent_service.context.window import WindowCache
from agent_service.identity_servicer import IdentityServicer
from agent_service.models.prices import Prices
from agent_service.models.router import ModelRouter
from agent_service.preview import Previewer
from agent_service.provided import ProviderDirectory
from agent_service.provider_servicer import ProviderServicer
from agent_service.replay import Replayer
from agent_service.replicas.forwarding import Forwarder
from agent_service.replicas.presence import Replica
from agent_service.sealing import Sealer
from agent_service.servicer import AgentServicer
from agent_service.sharing_servicer import SharingServicer
from agent_service.sleeptime import SleepTime
from agent_service.step_servicer import StepServicer
from agent_service.store import Store, open_store
from agent_service.stores import sealed
from agent_service.thinning import Thinner
from agent_service.tiers import Tiers
from agent_service.tools.mcp.pool import McpPool
from agent_service.tools.outside import Outside
from agent_service.tools.python.runner import PythonRunner
from agent_service.turn_servicer import TurnServicer
from agent_service.turns.between import BetweenTurns
from agent_service.turns.continuing import Continuer
from agent_service.turns.engine import TurnEngine
from agent_service.turns.forking import Forker
from agent_service.turns.parts import Parts
from agent_service.upkeep_servicer import UpkeepServicer
from servicekit import ids
from servicekit.channel import Peer
from servicekit.metering import Meter
from servicekit.metrics import Metrics
from servicekit.principal import Signer, Verifier
from servicekit.rpc import Guard
from servicekit.server import GrpcServer, announce, signed_principal
from servicekit.settings import Environment
from triptych.agent.v1 import agent_pb2, identity_pb2, provider_pb2, sharing_pb2, step_pb2, turn_pb2, upkeep_pb2

NAME = "agent_service"
_log = structlog.get_logger("server")


async def serve(env: Environment, stack: AsyncExitStack) -> None:
    """Starts everything; the stack stops it: first the server, then the turns, then what they use.

    Raises: BadEnvironment, StoreError, PortInUse, ValueError for a key file that holds none.
    """
    settings = Settings.read(env)
    signer = Signer.from_file(NAME, settings.signing_key)
    verifier = Verifier.from_files(NAME, {"gateway": settings.gateway_key})
    verifier.trust(signer, NAME)
    store = open_store(settings.dsn)
    stack.push_async_callback(store.close)
    sealer = Sealer.from_files(settings.secrets.file, settings.secrets.former)
    if brought_up := await store.write(lambda c: sealed.bring_up(c, sealer)):
        _log.info("secrets were encrypted", secrets=brought_up)
    directory = ProviderDirectory(store, sealer, settings.models[""], private=settings.private_providers)
    meter = Meter()
    tiers = Tiers(
        Peer("recall_service", settings.recall_address, signer, meter),
        Peer("archival_service", settings.archival_address, signer, meter),
    )
    stack.push_async_callback(tiers.close)
    replica = Replica(store, ids.new("process"))
    stack.push_async_callback(replica.close)
    await replica.enter()
    forwarder = Forwarder(NAME, signer, meter)
    stack.push_async_callback(forwarder.close)
    parts = _parts(settings, replica.id, store, sealer, directory, tiers, meter, forwarder, stack)
    engine = TurnEngine(parts)
    stack.push_async_callback(engine.close)
    cleaner = Cleaner(store, tiers)
    stack.push_async_callback(cleaner.close)
    servicers = {
        agent_pb2.DESCRIPTOR.services_by_name["AgentService"]: AgentServicer(
            store,
            engine,
            parts.model,
            Previewer(parts),
            BetweenTurns(parts, engine),
            Forker(parts, engine),
            cleaner,
            parts.outside,
            sealer,
            forwarder,
            tiers,
        ),
        turn_pb2.DESCRIPTOR.services_by_name["TurnService"]: TurnServicer(
            store, engine, Continuer(parts, engine), forwarder
        ),
        identity_pb2.DESCRIPTOR.services_by_name["IdentityService"]: IdentityServicer(store),
        step_pb2.DESCRIPTOR.services_by_name["StepService"]: StepServicer(store, Replayer(store, tiers)),
        provider_pb2.DESCRIPTOR.services_by_name["ProviderService"]: ProviderServicer(store, sealer, directory),
        sharing_pb2.DESCRIPTOR.services_by_name["SharingService"]: SharingServicer(
            store, engine, tiers, forwarder, cleaner
        ),
        upkeep_pb2.DESCRIPTOR.services_by_name["UpkeepService"]: UpkeepServicer(store, engine, cleaner),
    }
    metrics = await Metrics.open(settings.metrics_listen, stack)
    guard = Guard(signed_principal(verifier), meter=meter, timed=metrics.timed)
    server = GrpcServer(
        [guard.handler(service, servicer) for service, servicer in servicers.items()],
        [service.full_name for service in servicers],
        reflection=settings.running.reflection,
    )
    # Before the first call: an unfinished turn keeps its place ahead of new ones.
    recovered = await engine.take_up()
    cleaner.start()
    sleep_time = SleepTime(parts, engine)
    stack.push_async_callback(sleep_time.close)
    stack.push_async_callback(replica.stop_watching)
    thinner = Thinner(store, settings.limits.words_seconds)
    stack.push_async_callback(thinner.close)
    address = await server.start(settings.listen)
    stack.push_async_callback(server.stop, settings.running.drain_seconds)
    await replica.serve(settings.advertised or address, engine.take_up)
    sleep_time.start()
    thinner.start()
    announce(NAME, grpc=address, **metrics.announced)
    _log.info("serving", address=address, recovered_turns=recovered)
    # The first turn should not wait for an import of a second.
    await asyncio.to_thread(parts.model.warm_up)


def _parts(
    settings: Settings,
    process_id: str,
    store: Store,
    sealer: Sealer,
    directory: ProviderDirectory,
    tiers: Tiers,
    meter: Meter,
    forwarder: Forwarder,
    stack: AsyncExitStack,
) -> Parts:
    """What turns are run with; the stack closes it."""
    model = ModelRouter(settings.models, directory)
    stack.push_async_callback(model.close)
    outside = Outside(McpPool(store, sealer, settings.mcp), PythonRunner(settings.python))
    stack.push_async_callback(outside.mcp.close)
    return Parts(
        process_id=process_id,
        store=store,
        tiers=tiers,
        model=model,
        windows=WindowCache(tiers),
        outside=outside,
        meter=meter,
        forwarder=forwarder,
        limits=settings.limits,
        prices=Prices.read(settings.prices),
    )
