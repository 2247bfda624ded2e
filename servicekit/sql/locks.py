"""Names of PostgreSQL's advisory locks."""

from __future__ import annotations

import hashlib


def number(name: str) -> int:
    """What PostgreSQL knows a lock by. Two names with the same number, however unlikely, only wait for each other."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
