"""Turns whose messages recall has. The mark in the store is not worth a commit of its own: it goes with another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from agent_service.stores import turns
from servicekit.principal import Tenant
from servicekit.sql import Database


class Acknowledged:
    """Those that the store does not know of yet."""

    def __init__(self) -> None:
        self._turns: defaultdict[Tenant, list[str]] = defaultdict(list)

    def add(self, tenant: Tenant, turn_id: str) -> None:
        self._turns[tenant].append(turn_id)

    @contextmanager
    def marking(self) -> Iterator[Callable[[Connection], None]]:
        """Gives what a write has to do with its connection; if the write fails, the next one has to."""
        taken, self._turns = self._turns, defaultdict(list)

        def mark(connection: Connection) -> None:
            for tenant, turn_ids in taken.items():
                turns.recall_acknowledged(connection, tenant, turn_ids)

        try:
            yield mark
        except BaseException:
            for tenant, turn_ids in taken.items():
                self._turns[tenant].extend(turn_ids)
            raise

    async def mark(self, store: Database) -> None:
        """Has the store know of all now."""
        if self._turns:
            with self.marking() as mark:
                await store.write(mark)
