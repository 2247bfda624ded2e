"""PostgreSQL, which several processes may share.

The work is the same as on SQLite, in threads with a connection each. What one writer gives there, advisory locks give
here: a write takes the lock of its `alone` value and shares one with all others, or takes that one for itself. So work
may look first and write then, as if it were alone, and writes of different owners run side by side.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError

from servicekit.sql.database import Part, T, Work
from servicekit.sql.faults import translated
from servicekit.sql.locks import number
from servicekit.sql.migrations import migrate
from servicekit.sql.postgres_presence import PostgresPresence

_WRITERS = 8
_READERS = 8
_ATTEMPTS = 5
# Serialization failure, deadlock.
_LOST_A_RACE = ("40001", "40P01")
_CONNECT_SECONDS = 10
# Beyond every deadline that a call can have: only what has gone astray is stopped.
_STATEMENT_MILLISECONDS = 120_000


class PostgresDatabase:
    """A `Database`. Raises sqlalchemy.exc.DatabaseError if it can't be opened or migrated."""

    shared = True

    def __init__(self, url: URL, migrations: str) -> None:
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=_WRITERS + _READERS,
            hide_parameters=True,  # what users said must not reach a log by way of an error
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "application_name": migrations.partition(":")[0],
                # Compiling a statement takes longer than any of ours should.
                "options": f"-c statement_timeout={_STATEMENT_MILLISECONDS} -c synchronous_commit=on -c jit=off",
            },
        )
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with self._engine.connect() as connection:
            # Two replicas that start at once must not migrate at once.
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({number('migrate')})")
            connection.commit()
            migrate(connection, migrations)
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({number('migrate')})")
            connection.commit()
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="sql-write")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="sql-read")

    async def write(self, work: Work[T], *, alone: Hashable = None) -> T:
        locks = _locks(alone)

        def locked(connection: Connection) -> T:
            connection.exec_driver_sql(locks)
            return work(connection)

        # Shielded: a caller that goes away does not know whether it was written, and its work goes on.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._writers, _run, self._engine, locked))

    async def read(self, work: Work[T], *, brief: bool = False) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, _run, self._reading, work)

    async def vacuum(self) -> None:
        await asyncio.to_thread(self._vacuum)

    def _vacuum(self) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL")

    def presence(self, name: str) -> PostgresPresence:
        return PostgresPresence(self._engine, name)

    async def close(self) -> None:
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self._engine.dispose()


def _run(engine: Engine, work: Work[T]) -> T:
    """Runs it in a transaction; again if it lost a race or its connection before the commit."""
    for attempt in range(_ATTEMPTS):
        try:
            with engine.connect() as connection:
                result = work(connection)
                _commit(connection)
                return result
        except DBAPIError as error:
            if attempt + 1 == _ATTEMPTS or not _may_retry(error):
                raise translated(error) from error
            time.sleep(random.uniform(0, 0.01 * 2**attempt))
    raise AssertionError("the last attempt returns or raises")


def _commit(connection: Connection) -> None:
    """A commit whose answer was lost may have happened: it is not for us to do it again."""
    try:
        connection.commit()
    except DBAPIError as error:
        raise translated(error) from error


def _may_retry(error: DBAPIError) -> bool:
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _LOST_A_RACE


def _locks(alone: Hashable) -> str:
    everyone = number("everyone")
    if alone is None:
        return f"SELECT pg_advisory_xact_lock({everyone})"
    shared = [everyone, number(repr(alone.whole))] if isinstance(alone, Part) else [everyone]
    waits = [f"pg_advisory_xact_lock_shared({each})" for each in shared]
    return f"SELECT {', '.join(waits)}, pg_advisory_xact_lock({number(repr(alone))})"
