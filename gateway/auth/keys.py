"""Authenticates callers by API key or identity provider's token, by gRPC metadata or HTTP headers alike."""

from __future__ import annotations

import time

from cachetools import LRUCache

from gateway.auth import identity
from gateway.auth.identity import Identity
from gateway.auth.oidc import Oidc, looks_like_token
from gateway.secret import ServerSecret
from gateway.store import Store
from gateway.stores import keys, users
from gateway.stores.keys import KeyRow
from servicekit import scopes
from servicekit.principal import Principal, Scope, Tenant
from servicekit.rpc import Metadata
from triptych import ACCOUNT
from triptych.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from triptych.gateway.v1 import gateway_pb2 as pb

USER_HEADER = "triptych-user"
# By gRPC, whose other metadata is ASCII: the same in UTF-8.
_USER_BYTES = f"{USER_HEADER}-bin"
# How long a look-up is believed. This process forgets at once what it changes itself; where others write to the store
# too, what they revoke is refused after the second of the two at the latest.
_FRESH_SECONDS = 5.0
_FRESH_SHARED_SECONDS = 1.0
_CACHE_SIZE = 20_000
_MOST_KEY_CHARACTERS = 200
_MOST_TOKEN_CHARACTERS = 8_000
_ADMINS = (pb.KEY_KIND_ADMIN, pb.KEY_KIND_OPERATOR)
_SCOPES = {
    pb.KEY_SCOPE_USER: Scope.USER,
    pb.KEY_SCOPE_READ_ONLY: Scope.READ_ONLY,
    pb.KEY_SCOPE_ADMIN: Scope.ADMIN,
}


class Authenticator:
    """`oidc`: None if no identity provider is configured."""

    def __init__(self, store: Store, secret: ServerSecret, oidc: Oidc | None = None) -> None:
        self._store, self._secret, self._oidc = store, secret, oidc
        self._fresh_seconds = _FRESH_SHARED_SECONDS if store.shared else _FRESH_SECONDS
        # (bearer, user acted for) → until when it is believed, by time.time(), and who it is
        self._known: LRUCache[tuple[str, str], tuple[float, Identity]] = LRUCache(_CACHE_SIZE)
        self._used: dict[str, int] = {}
        # Counts what was changed: a look-up that began before a change may have found what is no more.
        self._changes = 0

    async def authenticate(self, metadata: Metadata, method: str) -> Principal:
        """For gRPC. Raises: Unauthenticated, PermissionDenied, InvalidArgument, NotFound for the user acted for."""
        found = await self.identify(metadata)
        scopes.check(found.principal, method)
        return found.principal

    async def identify(self, metadata: Metadata) -> Identity:
        """Who calls; it is bound to the task. Raises: as `authenticate`."""
        bearer, acts_for = self._bearer(metadata), _acts_for(metadata)
        known = self._known.get((bearer, acts_for))
        if known is None or known[0] < time.time():
            changes = self._changes
            known = await self._look_up(bearer, acts_for)
            if changes == self._changes:
                self._known[bearer, acts_for] = known
        found = known[1]
        if found.key_id:
            self._used[found.key_id] = time.time_ns() // 1000
        identity.bind(found)
        return found

    def forget(self) -> None:
        """Looks everybody up again: a key or a user was changed."""
        self._known.clear()
        self._changes += 1

    async def note_uses(self) -> None:
        """Writes down when keys were last used, in one transaction for all of them."""
        used, self._used = self._used, {}
        if used:
            await self._store.write(lambda c: keys.note_uses(c, used))

    async def _look_up(self, bearer: str, acts_for: str) -> tuple[float, Identity]:
        until = time.time() + self._fresh_seconds
        if self._oidc is not None and looks_like_token(bearer):
            _refuse_acting(acts_for)
            claims = await self._oidc.verify(bearer)
            user = await self._user(claims.account_id, claims.user, create=claims.create)
            return min(until, claims.expires), Identity(Principal(_tenant(user)), pb.KEY_KIND_UNSPECIFIED)
        key = await self._store.read(lambda c: keys.find(c, self._secret, bearer))
        if key is None:
            raise Unauthenticated("the API key is not known here, or was revoked, or has expired")
        found = await self._of_key(key, acts_for)
        return until if key.ends is None else min(until, key.ends / 1e6), found

    async def _of_key(self, key: KeyRow, acts_for: str) -> Identity:
        scope = _SCOPES[key.scope]
        the_account = Identity(Principal(Tenant(key.account_id, ACCOUNT), scope), key.kind, key.id)
        if key.kind == pb.KEY_KIND_APPLICATION:
            if acts_for == ACCOUNT:
                return the_account
            if not acts_for:
                raise InvalidArgument.of(USER_HEADER, "an application key needs this header: the user it acts for")
            user = await self._user(key.account_id, acts_for, create=scope is not Scope.READ_ONLY)
            return Identity(Principal(_tenant(user), scope), key.kind, key.id)
        for_account = acts_for == ACCOUNT and key.kind in _ADMINS
        if not for_account:
            _refuse_acting(acts_for)
        try:
            user = await self._user(key.account_id, key.user_id or "", create=False)
        except NotFound:
            raise Unauthenticated("the API key stands for nobody") from None
        if for_account:
            return the_account
        return Identity(Principal(_tenant(user), scope), key.kind, key.id)

    async def _user(self, account_id: str, id_or_name: str, *, create: bool) -> pb.User:
        """Raises: NotFound, PermissionDenied if it is disabled, InvalidArgument for a name that can't be one."""
        try:
            user = await self._store.read(lambda c: users.get(c, account_id, id_or_name))
        except NotFound:
            if not create:
                raise
            user = await self._store.write(lambda c: users.ensure(c, account_id, id_or_name))
        if user.disabled:
            raise PermissionDenied("the user is disabled")
        return user

    def _bearer(self, metadata: Metadata) -> str:
        """Raises: Unauthenticated if there is no bearer token."""
        scheme, _, bearer = str(metadata.get("authorization", "")).partition(" ")
        bearer = bearer.strip()
        most = _MOST_KEY_CHARACTERS if self._oidc is None else _MOST_TOKEN_CHARACTERS
        if scheme.lower() != "bearer" or not 1 <= len(bearer) <= most:
            raise Unauthenticated("an API key is needed: send the header `Authorization: Bearer KEY`")
        return bearer


def _tenant(user: pb.User) -> Tenant:
    return Tenant(user.account_id, user.id)


def _acts_for(metadata: Metadata) -> str:
    """Raises: InvalidArgument."""
    named, encoded = str(metadata.get(USER_HEADER, "")), metadata.get(_USER_BYTES, b"")
    if not isinstance(encoded, bytes) or not encoded:
        return named
    if named:
        raise InvalidArgument.of(_USER_BYTES, f"can't be given beside {USER_HEADER}")
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        raise InvalidArgument.of(_USER_BYTES, "must be UTF-8") from None


def _refuse_acting(acts_for: str) -> None:
    if acts_for:
        raise PermissionDenied(
            f"only an application key may act for another user, an admin's too for {ACCOUNT} ({USER_HEADER})"
        )
