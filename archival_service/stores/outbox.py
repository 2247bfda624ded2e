"""Changes of which the index may not know for good.

A change is a row of its own, also if the same passage has changed before: so what was told about an earlier one never
hides a later one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, literal, select, tuple_

from archival_service.store import Entry
from archival_service.stores import awaiting
from archival_service.stores.numbering import next_numbers
from archival_service.stores.rows import in_parts, owned
from archival_service.stores.spans import Span
from archival_service.stores.tables import outbox, passages
from servicekit.principal import Tenant
from servicekit.sql import Prepared

# What an index keeps of a passage.
_ALL = select(*(passages.c[name] for name in Entry._fields))
_ADD = Prepared(insert(outbox))


@dataclass(frozen=True)
class Change:
    """`n`: a passage's number. It was written if the passage is there, else deleted."""

    seq: int
    n: int


def add(connection: Connection, which: ColumnElement[bool]) -> list[Change]:
    """Notes a change of each passage that `which` is true of; call it while they are there."""
    numbers = select(passages.c.n, literal(_now())).where(which).order_by(passages.c.n)
    noted = insert(outbox).from_select(["n", "since"], numbers).returning(outbox.c.seq, outbox.c.n)
    return [Change(row.seq, row.n) for row in connection.execute(noted)]


def add_new(connection: Connection, passage_numbers: Sequence[int]) -> list[Change]:
    """As `add`, of passages that were written just now."""
    taken = next_numbers(connection, outbox, len(passage_numbers))
    changes = [Change(seq, n) for seq, n in zip(taken, passage_numbers, strict=True)]
    since = _now()
    _ADD.run(connection, *({"seq": change.seq, "n": change.n, "since": since} for change in changes))
    return changes


def of_passages(connection: Connection, which: ColumnElement[bool]) -> list[Change]:
    """The changes that are noted of such passages."""
    query = select(outbox.c.seq, outbox.c.n).join_from(outbox, passages, outbox.c.n == passages.c.n).where(which)
    return [Change(row.seq, row.n) for row in connection.execute(query)]


def waiting(connection: Connection, after: int, most: int) -> list[Change]:
    """The oldest changes behind the one numbered `after`."""
    query = select(outbox.c.seq, outbox.c.n).where(outbox.c.seq > after).order_by(outbox.c.seq).limit(most)
    return [Change(row.seq, row.n) for row in connection.execute(query)]


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def oldest(connection: Connection) -> int:
    """Since when the first waits, in microseconds since 1970; 0 if none does."""
    return connection.execute(select(outbox.c.since).order_by(outbox.c.seq).limit(1)).scalar() or 0


def done(connection: Connection, changes: Sequence[Change]) -> None:
    """The index has these for good."""
    for part in in_parts(changes):
        connection.execute(delete(outbox).where(outbox.c.seq.in_([change.seq for change in part])))


def clear(connection: Connection) -> None:
    """For an index that will be told of everything anyway."""
    connection.execute(delete(outbox))


def entries(connection: Connection, numbers: Sequence[int]) -> list[Entry]:
    """The passages of these numbers that are still there. A vector that is another embedder's is left out."""
    return [entry for part in in_parts(numbers) for entry in _entries(connection, _ALL.where(passages.c.n.in_(part)))]


def entries_after(connection: Connection, span: Span, most: int) -> list[Entry]:
    """The first of the span, in the order of their numbers."""
    return _entries(connection, _ALL.where(span.where()).order_by(passages.c.n).limit(most))


def entries_of(connection: Connection, tenant: Tenant, after: tuple[str, int], most: int) -> list[Entry]:
    """The owner's that come behind this archive and number, in the order of these."""
    return _entries(connection, _behind(_ALL, tenant, after, most))


def keys_of(connection: Connection, tenant: Tenant, after: tuple[str, int], most: int) -> list[tuple[str, int]]:
    """Archives and numbers of the same."""
    found = connection.execute(_behind(select(passages.c.archive_id, passages.c.n), tenant, after, most))
    return [(row.archive_id, row.n) for row in found]


def _behind(query: Select[Any], tenant: Tenant, after: tuple[str, int], most: int) -> Select[Any]:
    key = (passages.c.archive_id, passages.c.n)
    return query.where(owned(passages, tenant), tuple_(*key) > after).order_by(*key).limit(most)


def _entries(connection: Connection, query: Select[Any]) -> list[Entry]:
    stale = awaiting.span(connection)
    found = [Entry(*row) for row in connection.execute(query)]
    return [entry._replace(vector=b"") if entry.n in stale else entry for entry in found]


def gone(connection: Connection, numbers: Sequence[int]) -> list[int]:
    """Those of the numbers that no passage has any more."""
    there: set[int] = set()
    for part in in_parts(numbers):
        there.update(connection.execute(select(passages.c.n).where(passages.c.n.in_(part))).scalars())
    return [n for n in numbers if n not in there]


def sample(connection: Connection, most: int) -> list[Entry]:
    """So many embedded passages, from all over the store."""
    total = connection.execute(select(func.count()).select_from(passages)).scalar_one()
    step = max(1, total // most)
    numbers = connection.execute(
        select(passages.c.n).where(passages.c.n % step == 0, func.length(passages.c.vector) > 0).limit(most)
    )
    return entries(connection, list(numbers.scalars()))


def _now() -> int:
    return time.time_ns() // 1000
