"""Names that a transaction holds until it ends."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from servicekit.sql import Prepared, lock_number

# Whoever holds more names than this holds all of them: PostgreSQL has room for some thousand locks.
_FEW = 16

_HOLD_FEW = Prepared(
    text(
        """
        SELECT pg_advisory_xact_lock_shared(:everything), pg_advisory_xact_lock(number)
        FROM (SELECT DISTINCT unnest(CAST(:numbers AS bigint[])) AS number ORDER BY number) AS numbers
        """
    )
)
_HOLD_ALL = Prepared(text("SELECT pg_advisory_xact_lock(:everything)"))


def hold(connection: Connection, of: str, names: Sequence[str]) -> None:
    """Waits until no other transaction holds any of these names `of` something."""
    everything = lock_number(of)
    if len(names) > _FEW:
        _HOLD_ALL.all(connection, {"everything": everything})
        return
    # In one order, so that no two wait for each other.
    numbers = sorted({lock_number(f"{of} {name}") for name in names})
    _HOLD_FEW.all(connection, {"everything": everything, "numbers": numbers})
