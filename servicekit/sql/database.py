"""What a store does, whatever it is kept in."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection

from servicekit.sql.presence import Presence

T = TypeVar("T")
# It may run more than once (a lost connection, a deadlock): whatever it does, it does by the connection.
Work = Callable[[Connection], T]


class StoreError(RuntimeError):
    """The store can't be opened. The message says why and what to do."""


class Part(NamedTuple):
    """What can be `alone` as a part of `whole`: beside other parts of it, and not beside the whole."""

    whole: Hashable
    name: Hashable


class Database(Protocol):
    """Runs pieces of work, each in a transaction of its own: it commits if the piece returns, else it rolls back.

    Both raise Unavailable if the store can't be reached, is full or is damaged.
    """

    @property
    def shared(self) -> bool:
        """Whether other processes may write here too."""
        ...

    async def write(self, work: Work[T], *, alone: Hashable = None) -> T:
        """Runs it beside no other write that is `alone` with an equal value; None: beside no other write at all.

        Values have to be told apart by their repr.
        """
        ...

    async def read(self, work: Work[T], *, brief: bool = False) -> T:
        """Runs it on one state of things, in which it can't write.

        `brief`: it looks for a few rows by their keys, which on SQLite takes less than to hand it to a thread and get
        it back. So there it is done at once, with everything else waiting.
        """
        ...

    async def vacuum(self) -> None:
        """Writes the store anew without what was deleted: no byte of it is left in its files. Writes wait meanwhile."""
        ...

    def presence(self, name: str) -> Presence:
        """What this process holds a name by, from the first `check` on, for others to see: `servicekit.sql.present`."""
        ...

    async def close(self) -> None: ...
