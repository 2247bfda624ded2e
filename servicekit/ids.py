"""Ids of the form `agent-<uuid>`: random ones, and ones that derive from a key so that a retry makes the same."""

from __future__ import annotations

import re
import uuid

_NAMESPACE = uuid.UUID("5f0c3a52-7a3c-4a55-9d6e-7a1b2f0f6c11")
_ID = re.compile(r"[a-z_]+-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new(kind: str) -> str:
    """`kind-<uuid4>`."""
    return f"{kind}-{uuid.uuid4()}"


def derived(kind: str, *key: str | int) -> str:
    """`kind-<uuid5>` of the key's parts: the same key gives the same id, on any machine."""
    # Escaped as in JSON pointers, so that ("a/b", "c") and ("a", "b/c") are two keys.
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in key)
    return f"{kind}-{uuid.uuid5(_NAMESPACE, '/'.join([kind, *parts]))}"


def valid(kind: str, value: str) -> bool:
    """Whether `value` looks like an id of this kind (lower case, as all ids are)."""
    return value.startswith(kind + "-") and _ID.fullmatch(value) is not None
