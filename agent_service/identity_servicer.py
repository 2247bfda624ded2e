"""Serves identities."""

from __future__ import annotations

from sqlalchemy import Connection

from agent_service.servicing import Servicing, window_of
from agent_service.store import Store
from agent_service.stores import identities
from servicekit import principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import identity_pb2 as pb
from triptych.agent.v1.identity_pb2_grpc import IdentityServiceServicer


class IdentityServicer(Servicing, IdentityServiceServicer):
    def __init__(self, store: Store) -> None:
        self._store = store

    async def CreateIdentity(self, request: pb.CreateIdentityRequest, context: Context) -> pb.CreateIdentityResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.CreateIdentityResponse:
            return pb.CreateIdentityResponse(identity=identities.create(connection, tenant, request.identity))

        return await self._once(request, pb.CreateIdentityResponse, work)

    async def GetIdentity(self, request: pb.GetIdentityRequest, context: Context) -> pb.GetIdentityResponse:
        tenant = principal.tenant()
        found = await self._store.read(lambda c: identities.get(c, tenant, request.identity_id))
        return pb.GetIdentityResponse(identity=found)

    async def ListIdentities(self, request: pb.ListIdentitiesRequest, context: Context) -> pb.ListIdentitiesResponse:
        tenant, window = principal.tenant(), window_of(request, newest_first=True)
        found, token = await self._store.read(lambda c: identities.list_page(c, tenant, request, window))
        return pb.ListIdentitiesResponse(identities=found, next_page_token=token)

    async def CountIdentities(self, request: pb.CountIdentitiesRequest, context: Context) -> pb.CountIdentitiesResponse:
        tenant = principal.tenant()
        return pb.CountIdentitiesResponse(count=await self._store.read(lambda c: identities.count(c, tenant)))

    async def UpdateIdentity(self, request: pb.UpdateIdentityRequest, context: Context) -> pb.UpdateIdentityResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.UpdateIdentityResponse:
            paths = request.update_mask.paths
            changed = identities.change(connection, tenant, request.identity, paths, merge=request.merge)
            return pb.UpdateIdentityResponse(identity=changed)

        return await self._once(request, pb.UpdateIdentityResponse, work)

    async def UpsertIdentity(self, request: pb.UpsertIdentityRequest, context: Context) -> pb.UpsertIdentityResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.UpsertIdentityResponse:
            made = identities.upsert(connection, tenant, request.identity, request.update_mask.paths)
            return pb.UpsertIdentityResponse(identity=made)

        return await self._once(request, pb.UpsertIdentityResponse, work)

    async def DeleteIdentity(self, request: pb.DeleteIdentityRequest, context: Context) -> pb.DeleteIdentityResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DeleteIdentityResponse:
            identities.remove(connection, tenant, request.identity_id)
            return pb.DeleteIdentityResponse()

        return await self._once(request, pb.DeleteIdentityResponse, work)

    async def AttachIdentity(self, request: pb.AttachIdentityRequest, context: Context) -> pb.AttachIdentityResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.AttachIdentityResponse:
            identities.get(connection, tenant, request.identity_id)
            identities.attach(
                connection,
                tenant,
                request.identity_id,
                agent_ids=[request.agent_id] if request.HasField("agent_id") else (),
                block_ids=[request.block_id] if request.HasField("block_id") else (),
            )
            return pb.AttachIdentityResponse(identity=identities.get(connection, tenant, request.identity_id))

        return await self._once(request, pb.AttachIdentityResponse, work)

    async def DetachIdentity(self, request: pb.DetachIdentityRequest, context: Context) -> pb.DetachIdentityResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DetachIdentityResponse:
            identities.detach(connection, tenant, request.identity_id, request.agent_id or request.block_id)
            return pb.DetachIdentityResponse(identity=identities.get(connection, tenant, request.identity_id))

        return await self._once(request, pb.DetachIdentityResponse, work)
