"""Who is calling. The principal travels in signed metadata only, never in a request's field."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from triptych import ACCOUNT
from triptych.environment import BadEnvironment
from triptych.errors import Unauthenticated

METADATA_KEY = "triptych-principal"
_LIFETIME_SECONDS = 300
# A token is minted once a minute for the same user and audience, so that signing and verifying stay off the hot path.
_REUSE_SECONDS = 60
_CACHE_SIZE = 10_000


class Tenant(NamedTuple):
    """The owner of everything stored: a user within an account. Every store method takes it first."""

    account_id: str
    user_id: str

    @property
    def account(self) -> Tenant:
        """The owner of what the user's account shares with it."""
        return Tenant(self.account_id, ACCOUNT)

    @property
    def is_account(self) -> bool:
        return self.user_id == ACCOUNT


class Scope(StrEnum):
    USER = "user"
    READ_ONLY = "read_only"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    tenant: Tenant
    scope: Scope = Scope.USER


_current: ContextVar[Principal] = ContextVar("principal")


def current() -> Principal:
    """The caller of the RPC being served. Raises: Unauthenticated outside of one."""
    try:
        return _current.get()
    except LookupError:
        raise Unauthenticated("no principal: the call was not authenticated") from None


def tenant() -> Tenant:
    """Short for `current().tenant`."""
    return current().tenant


def bind(principal: Principal) -> None:
    """Makes `principal` the caller for the rest of this task (each RPC runs in a task of its own)."""
    _current.set(principal)


class Signer:
    """Mints tokens for one issuer (the gateway, or agent_service)."""

    def __init__(self, issuer: str, key: Ed25519PrivateKey) -> None:
        self._issuer = issuer
        self._key = key
        self._minted: dict[tuple[Principal, str], tuple[float, str]] = {}

    @classmethod
    def from_file(cls, issuer: str, path: Path) -> Signer:
        """Raises: BadEnvironment if the file holds no Ed25519 private key in PEM."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # the error may quote the file: it is not kept
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise BadEnvironment(f"{path} does not hold an Ed25519 private key")
        return cls(issuer, key)

    @property
    def public_key(self) -> Ed25519PublicKey:
        return self._key.public_key()

    def token(self, principal: Principal, audience: str) -> str:
        """A token for calls to `audience`, the callee's service name; at least four minutes are left of it."""
        now = time.time()
        minted = self._minted.get((principal, audience))
        if minted and now - minted[0] < _REUSE_SECONDS:
            return minted[1]
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "acc": principal.tenant.account_id,
            "sub": principal.tenant.user_id,
            "scp": principal.scope.value,
            "iat": int(now),
            "exp": int(now) + _LIFETIME_SECONDS,
        }
        token = jwt.encode(claims, self._key, algorithm="EdDSA")
        if len(self._minted) >= _CACHE_SIZE:
            self._minted.clear()
        self._minted[principal, audience] = (now, token)
        return token


class Verifier:
    """Checks tokens meant for one audience against the keys of the issuers it trusts."""

    def __init__(self, audience: str, issuers: Mapping[str, Ed25519PublicKey]) -> None:
        self._audience = audience
        self._issuers = dict(issuers)
        self._seen: dict[str | bytes, tuple[float, Principal]] = {}

    @classmethod
    def from_files(cls, audience: str, issuers: Mapping[str, Path]) -> Verifier:
        """`issuers`: name → file with an Ed25519 public key in PEM. Raises: BadEnvironment for anything else."""
        keys: dict[str, Ed25519PublicKey] = {}
        for issuer, path in issuers.items():
            try:
                key = serialization.load_pem_public_key(path.read_bytes())
            except (ValueError, UnsupportedAlgorithm):
                key = None
            if not isinstance(key, Ed25519PublicKey):
                raise BadEnvironment(f"{path} does not hold an Ed25519 public key")
            keys[issuer] = key
        return cls(audience, keys)

    def trust(self, signer: Signer, issuer: str) -> None:
        """Takes tokens of that signer too: a service that calls its own replicas."""
        self._issuers[issuer] = signer.public_key

    def verify(self, token: str | bytes) -> Principal:
        """Raises: Unauthenticated if it is forged, expired, for another service or from an unknown issuer."""
        now = time.time()
        seen = self._seen.get(token)
        if seen and now < seen[0]:
            return seen[1]
        try:
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss", "")
            claims = jwt.decode(
                token,
                self._issuers[issuer],
                algorithms=["EdDSA"],
                audience=self._audience,
                issuer=issuer,
                options={"require": ["exp", "aud", "iss", "sub", "acc"]},
            )
            principal = Principal(Tenant(claims["acc"], claims["sub"]), Scope(claims.get("scp", "user")))
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            raise Unauthenticated("the principal's signature is missing, expired or not trusted here") from None
        if len(self._seen) >= _CACHE_SIZE:
            self._seen.clear()
        self._seen[token] = (float(claims["exp"]), principal)
        return principal
