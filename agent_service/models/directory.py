"""The providers of users and accounts, as the router needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent_service.models import failures
from servicekit.principal import Tenant

if TYPE_CHECKING:
    from agent_service.config import ModelEndpoint


@dataclass(frozen=True)
class Provided:
    """`key`: another one for each provider, and after each change of it. `models`: may be used; () for all.

    `shared`: the account's. `is_default`: of its owner's, the one for agents without a model.
    """

    key: str
    endpoint: ModelEndpoint
    models: Sequence[str]
    shared: bool = False
    is_default: bool = False

    def model(self, name: str, asked: str) -> str:
        """The model that is meant by `asked` of the provider `name`; '' is its default one.

        Raises: FailedPrecondition MODEL_NOT_CONFIGURED for one that may not be used.
        """
        if asked and self.models and asked not in self.models:
            raise failures.not_configured(f"the provider {name} has no model {asked[:100]}")
        return asked or self.endpoint.model or next(iter(self.models), "")


def default_of(provided: Mapping[str, Provided]) -> str:
    """The name of the provider for agents without a model: the user's own before its account's; '' if there is none."""
    defaults = [(each.shared, name) for name, each in provided.items() if each.is_default]
    return min(defaults)[1] if defaults else ""


class Directory(Protocol):
    async def of(self, tenant: Tenant) -> Mapping[str, Provided]:
        """By name, what the user's agents can use: its own before its account's. Raises: Unavailable."""
        ...

    async def check(self, base_url: str) -> None:
        """Raises: InvalidArgument for an address that users may not have this service connect to."""
        ...
