"""Bearer tokens (JWT) of an identity provider, as OpenID Connect names and signs them."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from triptych.errors import Unauthenticated, Unavailable

# Signatures by a key pair only: with a shared secret whoever can verify could forge.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_SECONDS = 30
_KEYS_LAST_SECONDS = 3600.0
# A token that names an unknown key may have been signed by a new one: look, but not at every forger's asking.
_LOOK_AGAIN_SECONDS = 30.0
_FETCH_SECONDS = 10.0
# Where the keys could not be had they are not asked for by every token that comes meanwhile.
_RETRY_SECONDS = 2.0
_AWAY = "the identity provider's keys can't be read: retry later"


@dataclass(frozen=True)
class OidcSettings:
    """`jwks`: where the provider's keys are, a URL or a file. `claim`: the one that names the user.

    `account_id`: whose users they are. `create`: whether a user is made at first sight.
    """

    issuer: str
    audience: str
    jwks: str
    claim: str
    account_id: str
    create: bool


@dataclass(frozen=True)
class Claims:
    """What a token says. `expires`: by time.time()."""

    account_id: str
    user: str
    create: bool
    expires: float


def looks_like_token(bearer: str) -> bool:
    """Whether it has a JWT's form: our own keys have no dots."""
    return bearer.count(".") == 2


class Oidc:
    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = self._failed = float("-inf")
        self._fetching = asyncio.Lock()

    async def verify(self, token: str) -> Claims:
        """Raises: Unauthenticated; Unavailable if the provider's keys can't be had."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = await self._key(key_id)
            if key is None:
                raise Unauthenticated("the token is signed by a key that its issuer does not have")
            claims = jwt.decode(
                token,
                key.key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "aud", "iss"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthenticated("the token is malformed, expired, or of another issuer or audience") from None
        return self._claims(claims)

    def _claims(self, claims: dict[str, Any]) -> Claims:
        user = claims.get(self._settings.claim)
        # An id of ours in a claim would be a user of somebody else's choice.
        if not isinstance(user, str) or not user or user.startswith("user-"):
            raise Unauthenticated(f"the token's claim {self._settings.claim} names no user")
        return Claims(self._settings.account_id, user, self._settings.create, float(claims["exp"]) + _LEEWAY_SECONDS)

    async def _key(self, key_id: str | None) -> jwt.PyJWK | None:
        """Waits for the provider only if it has to: what is known serves while others wait. Raises: Unavailable."""
        if self._has_to_look(key_id):
            async with self._fetching:
                if self._has_to_look(key_id):  # still: others have waited too
                    await self._look()
        return self._keys.get(key_id)

    def _has_to_look(self, key_id: str | None) -> bool:
        age = time.monotonic() - self._fetched
        return age > _KEYS_LAST_SECONDS or (key_id not in self._keys and age > _LOOK_AGAIN_SECONDS)

    async def _look(self) -> None:
        """Raises: Unavailable."""
        if time.monotonic() - self._failed < _RETRY_SECONDS:
            raise Unavailable(_AWAY)
        try:
            self._keys = _by_id(await self._fetch())
        except Unavailable:
            self._failed = time.monotonic()
            raise
        self._fetched = time.monotonic()

    async def _fetch(self) -> Any:
        import httpx  # which is large, and in most gateways nobody needs it

        where = self._settings.jwks
        try:
            if not where.startswith(("http://", "https://")):
                return json.loads(await asyncio.to_thread(Path(where).read_text))
            async with httpx.AsyncClient(timeout=_FETCH_SECONDS) as client:
                return (await client.get(where)).raise_for_status().json()
        except (OSError, ValueError, httpx.HTTPError) as error:
            raise Unavailable(_AWAY) from error


def _by_id(document: Any) -> dict[str | None, jwt.PyJWK]:
    """The set's keys that can sign; a set of one serves tokens that name no key."""
    try:
        found: dict[str | None, jwt.PyJWK] = {
            key.key_id: key for key in jwt.PyJWKSet.from_dict(document).keys if key.algorithm_name in ALGORITHMS
        }
    except (jwt.PyJWTError, AttributeError, TypeError, KeyError) as error:
        raise Unavailable("the identity provider's keys are not a JSON Web Key Set") from error
    if len(found) == 1:
        found.setdefault(None, next(iter(found.values())))
    return found
