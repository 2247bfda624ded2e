"""The secret that only the gateway has, and what is derived from it."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from triptych.environment import BadEnvironment

_LEAST_BYTES = 16
_LENGTH = 32


class ServerSecret:
    """HKDF (RFC 5869) of a file's content, which has to have at least 128 bits of randomness."""

    def __init__(self, material: bytes) -> None:
        self._material = material
        self._key = self.derived("api-keys")

    @classmethod
    def from_file(cls, path: Path) -> ServerSecret:
        """Raises: BadEnvironment if there is too little in it."""
        material = path.read_bytes().strip()
        if len(material) < _LEAST_BYTES:
            raise BadEnvironment(f"{path} holds less than {_LEAST_BYTES} bytes: it is no secret")
        return cls(material)

    def derived(self, purpose: str) -> bytes:
        """32 bytes for one purpose, from which nothing about those of another follows."""
        derivation = HKDF(hashes.SHA256(), _LENGTH, salt=None, info=f"triptych gateway {purpose}".encode())
        return derivation.derive(self._material)

    def digest(self, secret: str) -> str:
        """What is kept of an API key's secret. It has 256 random bits, so a slow hash would add nothing but time."""
        return self.keyed(hashlib.sha256(secret.encode()).hexdigest())

    def keyed(self, digest: str) -> str:
        """The HMAC of a digest (both hexadecimal)."""
        return hmac.new(self._key, digest.encode(), hashlib.sha256).hexdigest()
