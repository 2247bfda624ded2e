"""All endpoints: which one a user's handle means, a second attempt where an answer broke off, and who stands in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from agent_service.models import failures
from agent_service.models.client import ModelClient
from agent_service.models.directory import Directory, Provided, default_of
from agent_service.models.pool import ClientPool
from agent_service.models.types import Deltas, ModelAnswer, ModelRequest
from servicekit.principal import Tenant
from triptych.errors import DeadlineExceeded, TriptychError, Unavailable
from triptych.type.v1 import type_pb2

if TYPE_CHECKING:
    from agent_service.config import ModelEndpoint

_log = structlog.get_logger("models")
# Names that programs put before a model's, of which the default endpoint knows nothing.
_PROVIDERS = frozenset({"openai", "openai-proxy", "letta", "local", "lmstudio_openai", "ollama", "vllm", "together"})
# Attempts at an answer that broke off, and how long (seconds) the first pause is at the most.
_ATTEMPTS, _FIRST_PAUSE = 3, 0.5
# So many failures in a row, and an endpoint is left alone for so long.
_FAILURES, _REST_SECONDS = 5, 10.0
# For what another endpoint may stand in. A conversation that is too long is not among it: it is compacted.
_STAND_IN = frozenset(
    {
        type_pb2.ERROR_REASON_MODEL_UNAVAILABLE,
        type_pb2.ERROR_REASON_MODEL_TIMEOUT,
        type_pb2.ERROR_REASON_MODEL_GARBAGE,
        type_pb2.ERROR_REASON_MODEL_REFUSED,
        type_pb2.ERROR_REASON_MODEL_NOT_CONFIGURED,
    }
)


@dataclass
class _Shown:
    """Notes whether anything of an answer has been shown. `again`: takes it back."""

    onward: Deltas | None
    again: Callable[[], Awaitable[None]] | None
    any: bool = field(default=False)

    def deltas(self) -> Deltas | None:
        if self.onward is None:
            return None
        return Deltas(self._noting(self.onward.text), self._noting(self.onward.reasoning))

    def _noting(self, hand_on: Callable[[str], None]) -> Callable[[str], None]:
        def piece(text: str) -> None:
            self.any = True
            hand_on(text)

        return piece

    async def take_back(self) -> None:
        if self.any and self.again is not None:
            self.any = False
            await self.again()


@dataclass(frozen=True)
class Listed:
    """`provider`: the name of an endpoint or a provider; '' for the default one."""

    provider: str
    model: str

    @property
    def handle(self) -> str:
        return f"{self.provider}/{self.model}" if self.provider else self.model


class ModelRouter:
    """`endpoints`: the server's, by name; a handle `name/model` is for that one, '' names the default.

    `directory`: providers of users and accounts, which come before endpoints of the same name.
    """

    def __init__(self, endpoints: Mapping[str, ModelEndpoint], directory: Directory) -> None:
        self._endpoints, self._directory = endpoints, directory
        self._pool = ClientPool()
        self._clients = {name: ModelClient(endpoint) for name, endpoint in endpoints.items()}
        self._breakers = AsyncCircuitBreakerFactory(
            default_threshold=_FAILURES,
            default_ttl=_REST_SECONDS,
            exclude=[(BaseException, lambda error: not _is_breakdown(error))],
        )

    def context_window(self, handle: str) -> int:
        """Tokens, for models whose window is not known."""
        return self._endpoints[self._find(handle)[0]].context_window

    async def complete(
        self,
        tenant: Tenant,
        request: ModelRequest,
        deltas: Deltas | None,
        again: Callable[[], Awaitable[None]] | None = None,
    ) -> ModelAnswer:
        """One answer of the model that `request.model`, a handle, means, or of the first of its fallbacks that has one.

        `again`: called before what was shown of an answer is shown anew, from its beginning.

        Raises: what the last one raised, as ModelClient.complete.
        """
        shown = _Shown(deltas, again)
        handles = (request.model, *request.fallbacks)
        for position, handle in enumerate(handles):
            try:
                return await self._persist(tenant, handle, request, shown)
            except TriptychError as error:
                if position + 1 == len(handles) or error.reason not in _STAND_IN:
                    raise
                _log.warning("falling back", model=handle, to=handles[position + 1], reason=error.reason_name)
        raise AssertionError("no model was asked")

    async def list_models(self) -> list[Listed]:
        """The default endpoint's models, and those that the server's others name. Raises: as ModelClient."""
        named = [Listed(name, endpoint.model) for name, endpoint in self._endpoints.items() if name and endpoint.model]
        return [*(Listed("", model) for model in await self._clients[""].list_models()), *named]

    async def list_provided(self, tenant: Tenant) -> list[Listed]:
        """The models of the user's and the account's providers; none of one that does not answer."""
        found = await self._directory.of(tenant)
        listed = await asyncio.gather(*(self._models_of(provided) for provided in found.values()))
        return [Listed(name, model) for name, models in zip(found, listed, strict=True) for model in models]

    async def _models_of(self, provided: Provided) -> Sequence[str]:
        if provided.models:
            return provided.models
        try:
            async with self._pool.client(provided) as client:
                return await client.list_models()
        except TriptychError:
            return [provided.endpoint.model] if provided.endpoint.model else []

    async def default_handle(self, tenant: Tenant | None = None) -> str:
        """What an agent without a model uses: the server's default model, or that of the user's default provider.

        Raises: as ModelClient.default_model.
        """
        provided = await self.provided_default(tenant) if tenant is not None else ""
        return provided or await self._clients[""].default_model()

    async def provided_default(self, tenant: Tenant) -> str:
        """The model of the user's default provider, else of its account's; '' if neither has one."""
        provided = await self._directory.of(tenant)
        name = default_of(provided)
        return f"{name}/{provided[name].model(name, '')}" if name else ""

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()
        await self._pool.close()

    def warm_up(self) -> None:
        """Imports what the first call needs."""
        self._clients[""].warm_up()

    async def _persist(self, tenant: Tenant, handle: str, request: ModelRequest, shown: _Shown) -> ModelAnswer:
        """Asks one model, again if it breaks off. Raises: as ModelClient.complete."""
        for attempt in range(1, _ATTEMPTS + 1):
            await shown.take_back()
            try:
                return await self._ask(tenant, handle, request, shown.deltas())
            except failures.CutOff:
                if attempt == _ATTEMPTS:
                    raise
            # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
            await asyncio.sleep(random.uniform(0, _FIRST_PAUSE * 2 ** (attempt - 1)))
        raise AssertionError("not reached")

    async def _ask(self, tenant: Tenant, handle: str, request: ModelRequest, deltas: Deltas | None) -> ModelAnswer:
        provider, slash, rest = handle.partition("/")
        provided = None
        if slash or not handle:
            found = await self._directory.of(tenant)
            provider = provider or default_of(found)
            provided = found.get(provider)
        if provided is not None:
            model = provided.model(provider, rest)
            async with self._pool.client(provided) as client:
                return await self._guarded(provided.key, client, model, request, deltas)
        name, model = self._find(handle)
        return await self._guarded(name or "default", self._clients[name], model, request, deltas)

    async def _guarded(
        self, name: str, client: ModelClient, model: str, request: ModelRequest, deltas: Deltas | None
    ) -> ModelAnswer:
        """Asks an endpoint, unless it has failed too often of late. Raises: as ModelClient.complete."""
        breaker = await self._breakers.get_breaker(name)
        try:
            async with breaker:
                model = model or await client.default_model()
                return await client.complete(replace(request, model=model), deltas)
        except OpenedState:
            raise Unavailable(
                f"the model's endpoint failed {_FAILURES} times in a row: no request for {_REST_SECONDS:g} seconds",
                reason=type_pb2.ERROR_REASON_MODEL_UNAVAILABLE,
            ) from None

    def _find(self, handle: str) -> tuple[str, str]:
        """The endpoint's name, and its name of the model; '' for its default one."""
        provider, slash, rest = handle.partition("/")
        if slash and rest and provider in self._endpoints:
            return provider, rest
        return "", rest if slash and rest and provider in _PROVIDERS else handle


def _is_breakdown(error: BaseException) -> bool:
    """Whether an endpoint that raises this is down, and not just busy, or not pleased with a request."""
    if isinstance(error, failures.Throttled):
        return False
    return isinstance(error, Unavailable | DeadlineExceeded) and error.reason in (
        type_pb2.ERROR_REASON_MODEL_UNAVAILABLE,
        type_pb2.ERROR_REASON_MODEL_TIMEOUT,
    )
