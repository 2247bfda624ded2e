"""Authenticates callers by their API key, by gRPC metadata or HTTP headers alike."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.store import Store
from gateway.stores import access
from gateway.stores.access import KeyRow
from servicekit.principal import Principal, Scope, Tenant
from servicekit.rpc import Metadata
from triptych.errors import InvalidArgument, PermissionDenied, Unauthenticated
from triptych.gateway.v1 import gateway_pb2 as pb

USER_HEADER = "triptych-user"
# How long a look-up is believed; a key revoked by another gateway is refused after this at the latest.
_FRESH_SECONDS = 5.0
_CACHE_SIZE = 10_000
_MOST_KEY_CHARACTERS = 200


@dataclass(frozen=True)
class Identity:
    principal: Principal
    kind: pb.KeyKind.ValueType


class KeyAuthenticator:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], tuple[float, Identity]] = {}

    async def authenticate(self, metadata: Metadata, _method: str) -> Principal:
        """Raises: Unauthenticated, PermissionDenied, InvalidArgument, NotFound for the user acted for."""
        return (await self.identify(metadata)).principal

    async def identify(self, metadata: Metadata) -> Identity:
        secret, acts_for = _bearer(metadata), str(metadata.get(USER_HEADER, ""))
        known = self._known.get((secret, acts_for))
        if known is not None and time.monotonic() - known[0] < _FRESH_SECONDS:
            return known[1]
        key = await self._store.read(lambda c: access.find_key(c, secret))
        if key is None:
            raise Unauthenticated("the API key is not known here, or was revoked")
        identity = await self._identity(key, acts_for)
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        self._known[secret, acts_for] = (time.monotonic(), identity)
        return identity

    def forget(self) -> None:
        """Looks every key up again: one was revoked."""
        self._known.clear()

    async def _identity(self, key: KeyRow, acts_for: str) -> Identity:
        if key.kind == pb.KEY_KIND_APPLICATION:
            if not acts_for:
                raise InvalidArgument.of(USER_HEADER, "an application key needs this header: the user it acts for")
            user = await self._store.read(lambda c: access.get_user(c, key.account_id, acts_for))
            return Identity(Principal(Tenant(key.account_id, user.id)), key.kind)
        if acts_for:
            raise PermissionDenied(f"only an application key may act for another user ({USER_HEADER})")
        if key.user_id is None:
            raise Unauthenticated("the API key stands for nobody")
        scope = Scope.ADMIN if key.kind == pb.KEY_KIND_ADMIN else Scope.USER
        return Identity(Principal(Tenant(key.account_id, key.user_id), scope), key.kind)


def _bearer(metadata: Metadata) -> str:
    """Raises: Unauthenticated if there is no bearer token."""
    scheme, _, secret = str(metadata.get("authorization", "")).partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not 1 <= len(secret) <= _MOST_KEY_CHARACTERS:
        raise Unauthenticated("an API key is needed: send the header `Authorization: Bearer KEY`")
    return secret
