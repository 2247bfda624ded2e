"""A name that this process holds in PostgreSQL, by a connection of its own."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from servicekit.sql.faults import translated
from servicekit.sql.locks import number

# A peer that is cut off, not dead, is found out by the server within about this many seconds: then its name is free.
_KEEPALIVE = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"


class PostgresPresence:
    """A `Presence`."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._lock = number(name)
        self._connection: Connection | None = None

    async def check(self) -> bool:
        return await asyncio.to_thread(self._check)

    async def close(self) -> None:
        await asyncio.to_thread(self._leave)

    def _check(self) -> bool:
        try:
            if self._connection is not None:
                self._connection.exec_driver_sql("SELECT 1")
                return False
            connection = self._engine.connect()
            connection.detach()  # not one of the pool's: closing it has to end the session
            connection.exec_driver_sql(_KEEPALIVE)
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({self._lock})")
            self._connection = connection
            return True
        except DBAPIError as error:
            self._leave()
            raise translated(error) from error

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
