"""Serves what only the gateway asks for, on its own account."""

from __future__ import annotations

from agent_service.store import Store
from agent_service.stores.purging import purge_user
from agent_service.stores.requests import once
from agent_service.turns.engine import TurnEngine
from servicekit import principal
from servicekit.rpc import Context
from triptych.agent.v1 import upkeep_pb2 as pb
from triptych.agent.v1.upkeep_pb2_grpc import UpkeepServiceServicer


class UpkeepServicer(UpkeepServiceServicer):
    def __init__(self, store: Store, engine: TurnEngine) -> None:
        self._store, self._engine = store, engine

    async def PurgeUser(self, request: pb.PurgeUserRequest, context: Context) -> pb.PurgeUserResponse:
        tenant = principal.tenant()
        await self._engine.stop(tenant)
        return await self._store.write(
            lambda c: once(
                c,
                tenant,
                request.request_id,
                request,
                pb.PurgeUserResponse,
                lambda: pb.PurgeUserResponse(removed=purge_user(c, tenant)),
            )
        )
