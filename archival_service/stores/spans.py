"""Work on all passages that there are, which goes on while the service serves: a span of their numbers, in the store.

It is worked through in the order of the numbers, so how far it has come is one number, which moves with the work.
Whatever is inserted meanwhile is behind the span.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from archival_service.stores.tables import passages, settings
from archival_service.stores.vectors import set_setting

_SETTINGS = select(settings.c.name, settings.c.value).where(settings.c.name.in_(bindparam("names", expanding=True)))
# The index has to be told of them.
REBUILD = "rebuild"


@dataclass(frozen=True)
class Span:
    """The passages numbered above `after`, up to and with `until`."""

    after: int
    until: int

    def __contains__(self, n: int) -> bool:
        return self.after < n <= self.until

    def __bool__(self) -> bool:
        return self.after < self.until

    def where(self) -> ColumnElement[bool]:
        return (passages.c.n > self.after) & (passages.c.n <= self.until)


def begin(connection: Connection, work: str) -> None:
    """From here on `work` has to be done on every passage that is there."""
    last = connection.execute(select(func.max(passages.c.n))).scalar() or 0
    advance(connection, work, 0)
    set_setting(connection, f"{work}-until", str(last))


def left(connection: Connection, work: str) -> Span:
    """What is still to be done; empty when all is."""
    names = [f"{work}-after", f"{work}-until"]
    found = {row.name: row.value for row in connection.execute(_SETTINGS, {"names": names})}
    return Span(*(int(found.get(name) or 0) for name in names))


def advance(connection: Connection, work: str, after: int) -> None:
    """The passages up to and with this number are done."""
    set_setting(connection, f"{work}-after", str(after))


def count(connection: Connection, work: str) -> int:
    """How many passages it has still to be done on."""
    query = select(func.count()).select_from(passages).where(left(connection, work).where())
    return connection.execute(query).scalar_one()
