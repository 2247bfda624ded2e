"""What the store notes of itself, and how many passages it has."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select

from archival_service.stores.tables import passages, settings

# A name that stands in the store and in the index's directory: the same in both if they belong together.
MARK = "belongs-to"
# The mark that was there before.
REPLACED = "belonged-to"
# The owners that have shards of their own in a server's collection.
PROMOTED = "promoted"


def setting(connection: Connection, name: str) -> str:
    """'' if it was never set."""
    return connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar() or ""


def set_setting(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(settings).where(settings.c.name == name))
    connection.execute(insert(settings).values(name=name, value=value))


def set_mark(connection: Connection, mark: str) -> None:
    """From here on the store's index is the one of this mark; '' for one that is still to be made."""
    if before := setting(connection, MARK):
        set_setting(connection, REPLACED, before)
    set_setting(connection, MARK, mark)


def count(connection: Connection) -> int:
    """Passages of all owners."""
    return connection.execute(select(func.count()).select_from(passages)).scalar_one()
