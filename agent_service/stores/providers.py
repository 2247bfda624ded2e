"""Model providers of users and accounts. Their keys are kept encrypted, and only the models' clients get them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from agent_service import clock
from agent_service.sealing import Sealer
from agent_service.stores.rows import Window, check_own, fetch, owned, owner, readable
from agent_service.stores.tables import model_providers
from servicekit import ids
from servicekit.principal import Tenant
from triptych.agent.v1.provider_pb2 import Provider
from triptych.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

MAX_PROVIDERS = 50
MAX_MODELS = 500
MAX_KEY = 4_000
MAX_URL = 2_000
UPDATABLE = frozenset({"name", "base_url", "api_key", "models", "default_model", "is_default"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# A key that is longer shows its last four characters.
_HINT_FROM = 12


@dataclass(frozen=True)
class WithKey:
    """`revision`: another one with each change."""

    provider: Provider
    api_key: str
    revision: int


def create(connection: Connection, sealer: Sealer, tenant: Tenant, wanted: Provider) -> Provider:
    """Raises: InvalidArgument; AlreadyExists for its name; FailedPrecondition at 50 providers."""
    provider = Provider()
    provider.CopyFrom(wanted)
    provider.id, provider.api_key_hint = ids.new("provider"), _hint(wanted.api_key)
    check(provider)
    _check_free(connection, tenant, provider)
    count = select(func.count()).select_from(model_providers).where(owned(model_providers, tenant))
    if connection.execute(count).scalar_one() >= MAX_PROVIDERS:
        raise FailedPrecondition(f"there are at most {MAX_PROVIDERS} providers of one owner")
    at = clock.now()
    sealed = sealer.seal(provider.api_key.encode(), *_place(tenant, provider.id))
    row = {"id": provider.id, "created_at": at, "updated_at": at, "sealed": sealed, **_columns(provider)}
    connection.execute(insert(model_providers).values(**owner(tenant), **row))
    _only_default(connection, tenant, provider)
    return get(connection, tenant, provider.id)


def check(provider: Provider) -> None:
    """Raises: InvalidArgument for what can't be kept. Where the URL leads is not looked at here."""
    if not _NAME.fullmatch(provider.name):
        raise InvalidArgument.of("provider.name", "must be 1 to 64 letters, digits, dots, underscores or hyphens")
    parts = urlsplit(provider.base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or len(provider.base_url) > MAX_URL:
        raise InvalidArgument.of("provider.base_url", f"must be http:// or https://, at most {MAX_URL} characters")
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument.of("provider.base_url", "must not hold a password: give it as api_key")
    if len(provider.api_key) > MAX_KEY or not provider.api_key.isprintable() or not provider.api_key.isascii():
        raise InvalidArgument.of("provider.api_key", f"must be at most {MAX_KEY:,} printable ASCII characters")
    if len(provider.models) > MAX_MODELS or not all(provider.models):
        raise InvalidArgument.of("provider.models", f"must be at most {MAX_MODELS} names")
    if provider.models and provider.default_model and provider.default_model not in provider.models:
        raise InvalidArgument.of("provider.default_model", "must be one of the models")


def get(connection: Connection, tenant: Tenant, provider_id: str) -> Provider:
    """The owner's or the account's, without its key. Raises: NotFound."""
    return _to_provider(_row(connection, tenant, provider_id))


def list_page(connection: Connection, tenant: Tenant, window: Window) -> tuple[list[Provider], str]:
    """Without their keys."""
    query = select(model_providers).where(owned(model_providers, tenant))
    rows, token = fetch(connection, query, model_providers, tenant, window)
    return [_to_provider(row) for row in rows], token


def with_keys(connection: Connection, sealer: Sealer, tenant: Tenant) -> list[WithKey]:
    """All that the owner's agents can use: the account's, then its own."""
    query = select(model_providers).where(readable(model_providers, tenant)).order_by(model_providers.c.id)
    rows = sorted(connection.execute(query), key=lambda row: row.user_id == tenant.user_id)
    return [
        WithKey(_to_provider(row), _key(sealer, Tenant(row.account_id, row.user_id), row), row.updated_at)
        for row in rows
    ]


def change(connection: Connection, sealer: Sealer, tenant: Tenant, wanted: Provider, paths: Sequence[str]) -> Provider:
    """Raises: NotFound, PermissionDenied, InvalidArgument, AlreadyExists."""
    row = _row(connection, tenant, wanted.id)
    check_own(row, tenant, "provider")
    provider = _to_provider(row)
    for path in paths:
        if path not in UPDATABLE:
            raise InvalidArgument.of("update_mask", f"{path} can't be updated; it takes {', '.join(sorted(UPDATABLE))}")
        if path == "models":
            provider.models[:] = wanted.models
        else:
            setattr(provider, path, getattr(wanted, path))
    if provider.base_url != _to_provider(row).base_url and "api_key" not in paths:
        raise InvalidArgument.of("update_mask", "a new base_url needs the api_key for it too")
    if "api_key" in paths:
        provider.api_key_hint = _hint(wanted.api_key)
    check(provider)
    _check_free(connection, tenant, provider)
    # Two changes are never of one revision, however coarse the clock is.
    values = {**_columns(provider), "updated_at": max(clock.now(), row.updated_at + 1)}
    if "api_key" in paths:
        values["sealed"] = sealer.seal(provider.api_key.encode(), *_place(tenant, provider.id))
    connection.execute(
        update(model_providers)
        .where(owned(model_providers, tenant), model_providers.c.id == provider.id)
        .values(**values)
    )
    _only_default(connection, tenant, provider)
    return get(connection, tenant, provider.id)


def remove(connection: Connection, tenant: Tenant, provider_id: str) -> None:
    """Raises: NotFound, PermissionDenied."""
    check_own(_row(connection, tenant, provider_id), tenant, "provider")
    connection.execute(
        delete(model_providers).where(owned(model_providers, tenant), model_providers.c.id == provider_id)
    )


def _row(connection: Connection, tenant: Tenant, provider_id: str) -> Row[Any]:
    query = select(model_providers).where(readable(model_providers, tenant), model_providers.c.id == provider_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("provider", provider_id)
    return row


def _check_free(connection: Connection, tenant: Tenant, provider: Provider) -> None:
    """Raises: AlreadyExists if another one of the owner has its name."""
    mine = owned(model_providers, tenant) & (model_providers.c.name == provider.name)
    if connection.execute(select(model_providers.c.id).where(mine, model_providers.c.id != provider.id)).first():
        raise AlreadyExists(f"there is a provider {provider.name} already")


def _only_default(connection: Connection, tenant: Tenant, chosen: Provider) -> None:
    """If it is the owner's default, no other one is any more."""
    if not chosen.is_default:
        return
    others = owned(model_providers, tenant) & (model_providers.c.id != chosen.id)
    for row in connection.execute(select(model_providers).where(others)).all():
        other = Provider.FromString(row.body)
        if other.is_default:
            other.is_default = False
            connection.execute(
                update(model_providers)
                .where(owned(model_providers, tenant), model_providers.c.id == row.id)
                .values(body=other.SerializeToString(), updated_at=max(clock.now(), row.updated_at + 1))
            )


def _hint(api_key: str) -> str:
    return api_key[-4:] if len(api_key) > _HINT_FROM else ""


def _columns(provider: Provider) -> dict[str, Any]:
    kept = Provider()
    kept.CopyFrom(provider)
    for field in ("api_key", "shared", "create_time", "update_time"):
        kept.ClearField(field)
    return {"name": provider.name, "body": kept.SerializeToString()}


def _key(sealer: Sealer, tenant: Tenant, row: Row[Any]) -> str:
    return sealer.open(row.sealed, *_place(tenant, row.id)).decode()


def _place(tenant: Tenant, provider_id: str) -> tuple[str, ...]:
    return ("model_providers", *tenant, provider_id)


def _to_provider(row: Row[Any]) -> Provider:
    provider = Provider.FromString(row.body)
    provider.shared = Tenant(row.account_id, row.user_id).is_account
    provider.create_time.CopyFrom(clock.timestamp(row.created_at))
    provider.update_time.CopyFrom(clock.timestamp(row.updated_at))
    return provider
