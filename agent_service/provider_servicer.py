"""Serves model providers. Their keys go in and never come out again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy import Connection

from agent_service.provided import ProviderDirectory
from agent_service.sealing import Sealer
from agent_service.store import Store
from agent_service.stores import providers
from agent_service.stores.requests import Response, once
from agent_service.stores.rows import Window
from servicekit import paging, principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import provider_pb2 as pb
from triptych.agent.v1.provider_pb2_grpc import ProviderServiceServicer

AnyRequest: TypeAlias = pb.CreateProviderRequest | pb.UpdateProviderRequest | pb.DeleteProviderRequest


class ProviderServicer(ProviderServiceServicer):
    def __init__(self, store: Store, sealer: Sealer, directory: ProviderDirectory) -> None:
        self._store, self._sealer, self._directory = store, sealer, directory

    async def CreateProvider(self, request: pb.CreateProviderRequest, context: Context) -> pb.CreateProviderResponse:
        providers.check(request.provider)
        await self._directory.check(request.provider.base_url)

        def work(connection: Connection, tenant: Tenant) -> pb.CreateProviderResponse:
            made = providers.create(connection, self._sealer, tenant, request.provider)
            return pb.CreateProviderResponse(provider=made)

        return await self._once(request, pb.CreateProviderResponse, work)

    async def GetProvider(self, request: pb.GetProviderRequest, context: Context) -> pb.GetProviderResponse:
        tenant = principal.tenant()
        found = await self._store.read(lambda c: providers.get(c, tenant, request.provider_id))
        return pb.GetProviderResponse(provider=found)

    async def ListProviders(self, request: pb.ListProvidersRequest, context: Context) -> pb.ListProvidersResponse:
        caller = principal.tenant()
        tenant = caller.account if request.shared else caller
        page = paging.read(
            size=request.page_size,
            token=request.page_token,
            query=("ListProviders", *caller, request.shared),
            order=request.order,
        )
        found, token = await self._store.read(lambda c: providers.list_page(c, tenant, Window(page)))
        return pb.ListProvidersResponse(providers=found, next_page_token=token)

    async def UpdateProvider(self, request: pb.UpdateProviderRequest, context: Context) -> pb.UpdateProviderResponse:
        paths = list(request.update_mask.paths)
        if "base_url" in paths:
            await self._directory.check(request.provider.base_url)

        def work(connection: Connection, tenant: Tenant) -> pb.UpdateProviderResponse:
            changed = providers.change(connection, self._sealer, tenant, request.provider, paths)
            return pb.UpdateProviderResponse(provider=changed)

        return await self._once(request, pb.UpdateProviderResponse, work)

    async def DeleteProvider(self, request: pb.DeleteProviderRequest, context: Context) -> pb.DeleteProviderResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DeleteProviderResponse:
            providers.remove(connection, tenant, request.provider_id)
            return pb.DeleteProviderResponse()

        return await self._once(request, pb.DeleteProviderResponse, work)

    async def _once(
        self, request: AnyRequest, response_type: type[Response], work: Callable[[Connection, Tenant], Response]
    ) -> Response:
        tenant, compared = principal.tenant(), self._without_key(request)
        try:
            return await self._store.write(
                lambda c: once(c, tenant, request.request_id, compared, response_type, lambda: work(c, tenant))
            )
        finally:
            self._directory.forget()

    def _without_key(self, request: AnyRequest) -> AnyRequest:
        """What is kept of a request for its replay to be known by has no hash of a key that could be guessed."""
        if isinstance(request, pb.DeleteProviderRequest):
            return request
        compared = copy.deepcopy(request)
        compared.provider.api_key = self._sealer.stand_in(request.provider.api_key)
        return compared
