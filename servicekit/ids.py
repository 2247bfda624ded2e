"""Ids of the form `agent-<uuid>`: random ones, and ones that derive from a key so that a retry makes the same."""

from __future__ import annotations

import hashlib
import re
import uuid
from functools import lru_cache

_NAMESPACE = uuid.UUID("5f0c3a52-7a3c-4a55-9d6e-7a1b2f0f6c11")
_ID = re.compile(r"[a-z_]+-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new(kind: str) -> str:
    """`kind-<uuid4>`."""
    return f"{kind}-{uuid.uuid4()}"


@lru_cache(10_000)
def derived(kind: str, *key: str | int) -> str:
    """`kind-<uuid5>` of the key's parts: the same key gives the same id, on any machine."""
    # Escaped as in JSON pointers, so that ("a/b", "c") and ("a", "b/c") are two keys.
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in key)
    # As uuid.uuid5 does it (RFC 9562, 5.5), at a third of its cost: a turn derives a dozen.
    digest = bytearray(
        hashlib.sha1(_NAMESPACE.bytes + "/".join([kind, *parts]).encode(), usedforsecurity=False).digest()
    )
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    made = digest[:16].hex()
    return f"{kind}-{made[:8]}-{made[8:12]}-{made[12:16]}-{made[16:20]}-{made[20:]}"


def valid(kind: str, value: str) -> bool:
    """Whether `value` looks like an id of this kind (lower case, as all ids are)."""
    return value.startswith(kind + "-") and _ID.fullmatch(value) is not None
