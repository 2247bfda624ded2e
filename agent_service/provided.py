"""What users' agents can use of providers, from the store; kept for some seconds, since each model call asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from cachetools import LRUCache

from agent_service import outbound
from agent_service.config import ModelEndpoint
from agent_service.models.directory import Provided
from agent_service.models.types import ToolMode
from agent_service.sealing import Sealer
from agent_service.store import Store
from agent_service.stores import providers
from servicekit.principal import Tenant
from triptych.errors import InvalidArgument

# A change is seen at once by the replica that makes it, by others after so many seconds.
_FRESH_SECONDS = 5.0
_MOST_USERS = 10_000


class ProviderDirectory:
    """`like`: the server's own endpoint, for what a provider does not say. `private`: this network's addresses too."""

    def __init__(self, store: Store, sealer: Sealer, like: ModelEndpoint, *, private: bool) -> None:
        self._store, self._sealer, self._private = store, sealer, private
        self._like = replace(like, tool_mode=ToolMode.NATIVE, model="", api_key="", public_only=not private)
        self._generation = 0
        self._known: LRUCache[Tenant, tuple[float, Mapping[str, Provided]]] = LRUCache(_MOST_USERS)

    async def of(self, tenant: Tenant) -> Mapping[str, Provided]:
        known = self._known.get(tenant)
        if known is None or known[0] < time.monotonic():
            until, generation = time.monotonic() + _FRESH_SECONDS, self._generation
            found = await self._store.read(lambda c: providers.with_keys(c, self._sealer, tenant))
            known = until, {each.provider.name: self._provided(each) for each in found}
            # What was changed while it was read is not kept.
            if generation == self._generation:
                self._known[tenant] = known
        return known[1]

    def forget(self) -> None:
        """Asks the store again, for everybody: an account's provider is every user's."""
        self._generation += 1
        self._known.clear()

    async def check(self, base_url: str) -> None:
        try:
            await outbound.resolve(base_url, private=self._private)
        except outbound.AddressRefused as error:
            raise InvalidArgument.of("provider.base_url", f"the provider's {error}") from None

    def _provided(self, known: providers.WithKey) -> Provided:
        provider = known.provider
        endpoint = replace(self._like, base_url=provider.base_url, api_key=known.api_key, model=provider.default_model)
        return Provided(
            f"{provider.id}/{known.revision}",
            endpoint,
            tuple(provider.models),
            shared=provider.shared,
            is_default=provider.is_default,
        )
