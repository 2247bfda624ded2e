"""The processes that run turns on this store, and which of them are there."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from agent_service.stores.tables import replicas
from servicekit.sql import present
from triptych.errors import Unavailable


class Elsewhere(Unavailable):
    """The conversation is another process's, which is there. `address`: where; '' if it does not serve yet."""

    def __init__(self, address: str) -> None:
        super().__init__("this conversation is being run by another replica: send it again")
        self.address = address


class Orphaned(Unavailable):
    """The conversation's process is gone, and what it left has to be taken up first."""

    def __init__(self) -> None:
        super().__init__("the replica that ran this conversation is gone, another one takes over: send it again")


def register(connection: Connection, replica_id: str) -> None:
    connection.execute(insert(replicas).values(id=replica_id, address=""))


def advertise(connection: Connection, replica_id: str, address: str) -> None:
    """Says where the others reach it, also again if they took it for gone meanwhile."""
    changed = connection.execute(update(replicas).where(replicas.c.id == replica_id).values(address=address))
    if not changed.rowcount:
        connection.execute(insert(replicas).values(id=replica_id, address=address))


def remove(connection: Connection, replica_id: str) -> None:
    connection.execute(delete(replicas).where(replicas.c.id == replica_id))


def remove_gone(connection: Connection, me: str) -> None:
    """Forgets those that are not there."""
    there = living(connection, me)
    connection.execute(delete(replicas).where(replicas.c.id != me, replicas.c.id.not_in(list(there))))


def living(connection: Connection, me: str) -> dict[str, str]:
    """The addresses of the others that are there, by id."""
    known = {row.id: row.address for row in connection.execute(select(replicas).where(replicas.c.id != me))}
    there = present(connection, [lock_name(replica_id) for replica_id in known])
    return {replica_id: address for replica_id, address in known.items() if lock_name(replica_id) in there}


def check_not_elsewhere(connection: Connection, owner: str | None, me: str) -> None:
    """Raises: Elsewhere if the owner of a lease is another process that is there."""
    if owner is None or owner == me:
        return
    address = living(connection, me).get(owner)
    if address is not None:
        raise Elsewhere(address)


def lock_name(replica_id: str) -> str:
    """What it holds as long as it lives."""
    return f"replica {replica_id}"
