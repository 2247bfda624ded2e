"""Users' secrets, encrypted before the store has them: AES-256-GCM (NIST SP 800-38D), by a key of the service's own."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from triptych.environment import BadEnvironment
from triptych.errors import FailedPrecondition

_LEAST_BYTES = 16
_KEY_BYTES = 32
_NAME_BYTES = 4
_NONCE_BYTES = 12


class Sealer:
    """`secret`: what the key is derived from (HKDF, RFC 5869): 128 random bits or more. `former`: the one before.

    What is sealed: the key's name (4 bytes of its SHA-256), a random nonce (12 bytes), the ciphertext with its tag. The
    place where it is kept is authenticated with it, so that nothing can be opened in another place.
    """

    def __init__(self, secret: bytes, former: bytes | None = None) -> None:
        self._name, self._key = _derived(secret)
        self._stand_ins = _hkdf(secret, b"triptych agent_service stand-ins")
        self._keys = {self._name: self._key}
        if former is not None:
            self._keys.setdefault(*_derived(former))

    @classmethod
    def from_files(cls, secret: Path, former: Path | None = None) -> Sealer:
        """Raises: BadEnvironment if there is too little in one of them."""
        return cls(_read(secret), None if former is None else _read(former))

    def seal(self, plain: bytes, *place: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return self._name + nonce + self._key.encrypt(nonce, plain, _place(place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """Raises: FailedPrecondition if it was sealed by another secret, or is damaged or in the wrong place."""
        key = self._keys.get(sealed[:_NAME_BYTES])
        nonce, rest = sealed[_NAME_BYTES:][:_NONCE_BYTES], sealed[_NAME_BYTES + _NONCE_BYTES :]
        try:
            if key is not None:
                return key.decrypt(nonce, rest, _place(place))
        except (InvalidTag, ValueError):
            pass
        raise FailedPrecondition("a stored secret can't be decrypted any more: set it again")

    def stand_in(self, plain: str) -> str:
        """What is the same for the same secret, and says nothing of it to who has not this service's (HMAC-SHA256).

        For what is compared and kept, such as the content of a request. '' for ''.
        """
        return hmac.new(self._stand_ins, plain.encode(), hashlib.sha256).hexdigest() if plain else ""

    def knows(self, sealed: bytes) -> bool:
        """Whether it was sealed by one of the two secrets."""
        return sealed[:_NAME_BYTES] in self._keys

    def is_current(self, sealed: bytes) -> bool:
        return sealed.startswith(self._name)


def _read(path: Path) -> bytes:
    material = path.read_bytes().strip()
    if len(material) < _LEAST_BYTES:
        raise BadEnvironment(f"{path} holds less than {_LEAST_BYTES} bytes: it is no secret")
    return material


def _derived(secret: bytes) -> tuple[bytes, AESGCM]:
    key = _hkdf(secret, b"triptych agent_service secrets")
    return hashlib.sha256(key).digest()[:_NAME_BYTES], AESGCM(key)


def _hkdf(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=purpose).derive(secret)


def _place(parts: tuple[str, ...]) -> bytes:
    return "\0".join(parts).encode()
