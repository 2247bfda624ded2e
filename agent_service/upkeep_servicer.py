"""Serves what only the gateway asks for, on its own account."""

from __future__ import annotations

from agent_service.cleanup import Cleaner
from agent_service.store import Store
from agent_service.stores import guests, measuring
from agent_service.stores.purging import purge_user
from agent_service.stores.requests import once
from agent_service.turns.engine import TurnEngine
from servicekit import principal
from servicekit.rpc import Context
from triptych.agent.v1 import upkeep_pb2 as pb
from triptych.agent.v1.upkeep_pb2_grpc import UpkeepServiceServicer


class UpkeepServicer(UpkeepServiceServicer):
    def __init__(self, store: Store, engine: TurnEngine, cleaner: Cleaner) -> None:
        self._store, self._engine, self._cleaner = store, engine, cleaner

    async def CountStoredBytes(
        self, request: pb.CountStoredBytesRequest, context: Context
    ) -> pb.CountStoredBytesResponse:
        tenant = principal.tenant()
        return pb.CountStoredBytesResponse(stored_bytes=await self._store.read(lambda c: measuring.stored(c, tenant)))

    async def PurgeUser(self, request: pb.PurgeUserRequest, context: Context) -> pb.PurgeUserResponse:
        tenant = principal.tenant()
        await self._engine.stop(tenant)
        for owner, conversation_id in await self._store.read(lambda c: guests.left_by(c, tenant)):
            await self._engine.stop(owner, conversation_id=conversation_id)
        response = await self._store.write(
            lambda c: once(
                c,
                tenant,
                request.request_id,
                request,
                pb.PurgeUserResponse,
                lambda: pb.PurgeUserResponse(
                    removed={"guest_conversations": guests.purge(c, tenant), **purge_user(c, tenant)}
                ),
            )
        )
        # What the user said as a guest is with agents of others: recall is told to purge it.
        await self._cleaner.run_soon()
        return response
