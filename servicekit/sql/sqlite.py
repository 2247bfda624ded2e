"""One SQLite file, with one process as its owner.

SQLite allows one writer, and a commit costs a disk sync however much it holds. So all writes go through one thread that
takes whatever has queued up meanwhile, runs each piece under a savepoint of its own and commits them together.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import queue
import sqlite3
import threading
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from servicekit.sql.database import StoreError, T, Work
from servicekit.sql.faults import translated
from servicekit.sql.migrations import migrate
from servicekit.sql.presence import Alone

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
_BATCH = 128
_READERS = 2


class SqliteDatabase:
    """One file in WAL mode with `synchronous=FULL`: what was acknowledged outlives a power cut.

    Raises sqlalchemy.exc.DatabaseError or OSError if it can't be opened or migrated, StoreError if another has it.
    """

    shared = False

    def __init__(self, path: Path, migrations: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = hold(path.with_name(path.name + ".lock"))
        self._engine = _engine(path)
        with self._engine.connect().execution_options(triptych_writer=True) as connection:
            migrate(connection, migrations)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="sql-read")
        self._local = threading.local()
        self._opened: list[Connection] = []
        self._writer = threading.Thread(target=self._write_loop, name="sql-write", daemon=True)
        self._writer.start()

    async def write(self, work: Work[T], *, alone: Hashable = None) -> T:
        # All writes are alone here.
        job = _Job(work, asyncio.get_running_loop())
        self._queue.put(job)
        # Shielded: a caller that goes away must not leave the writer with a future that can't be resolved.
        result: T = await asyncio.shield(job.future)
        return result

    async def read(self, work: Work[T], *, brief: bool = False) -> T:
        if brief:
            return self._read(work)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def vacuum(self) -> None:
        await asyncio.to_thread(self._vacuum)

    def presence(self, name: str) -> Alone:
        return Alone()

    async def close(self) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        for connection in self._opened:
            connection.close()
        self._engine.dispose()
        os.close(self._lock)

    def _vacuum(self) -> None:
        """Raises: StoreError if the log beside the file can't be emptied."""
        connection = self._engine.raw_connection()
        try:
            connection.execute("VACUUM")
            ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
        if busy:
            raise StoreError("the store is being read: try again")

    def _read(self, work: Work[T]) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._engine.connect()
            self._local.connection = connection
            self._opened.append(connection)
        try:
            driver_of(connection).execute("BEGIN")
            return work(connection)
        except (DatabaseError, sqlite3.Error) as error:
            raise translated(error) from error
        finally:
            _roll_back(connection)

    def _write_loop(self) -> None:
        connection = self._engine.connect().execution_options(triptych_writer=True)
        while (jobs := self._next_jobs()) is not None:
            _run(connection, jobs)
        connection.close()

    def _next_jobs(self) -> list[_Job] | None:
        first = self._queue.get()
        if first is None:
            return None
        jobs = [first]
        while len(jobs) < _BATCH:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            jobs.append(job)
        return jobs


class _Job:
    """A piece of work, and who waits for what comes of it."""

    def __init__(self, work: Work[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None

    def resolve(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _TransactionEnded(Exception):
    """By SQLite, in the middle of a job."""

    def __init__(self, job: _Job) -> None:
        super().__init__()
        self.job = job


def _run(connection: Connection, jobs: list[_Job]) -> None:
    """Runs the jobs in one transaction; one that fails takes back only what it did itself."""
    try:
        driver_of(connection).execute("BEGIN IMMEDIATE")
        if len(jobs) == 1:
            jobs[0].result = jobs[0].work(connection)
        else:
            _run_apart(connection, jobs)
        _commit(connection)
    except _TransactionEnded as ended:  # everybody's work was taken back, and the others' may have room
        _roll_back(connection)
        for job in jobs:
            if job is not ended.job:
                job.result = job.error = None
                _run(connection, [job])
        jobs = [ended.job]
    except Exception as error:  # a lone job's, or the commit failed (a full disk): nobody's work is there
        _roll_back(connection)
        for job in jobs:
            job.error = job.error or translated(error)
    for loop in {job.loop for job in jobs}:
        mine = [job for job in jobs if job.loop is loop]
        try:
            loop.call_soon_threadsafe(_resolve, mine)
        except RuntimeError:  # the loop has closed: nobody waits any more
            continue


def _run_apart(connection: Connection, jobs: list[_Job]) -> None:
    execute = driver_of(connection).execute
    for job in jobs:
        execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except Exception as error:  # the caller's to handle: it travels there by the future
            job.error = translated(error)
            if not driver_of(connection).in_transaction:  # a full disk: SQLite itself has rolled back, and all of it
                raise _TransactionEnded(job) from error
            execute("ROLLBACK TO job")
        execute("RELEASE job")


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's connection: SQLAlchemy's part would be most of the cost of what is done often."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _commit(connection: Connection) -> None:
    """Commits a transaction that was begun by the driver, whether SQLAlchemy has come to know of it or not."""
    if connection.in_transaction():
        connection.commit()
    else:
        driver_of(connection).commit()


def _roll_back(connection: Connection) -> None:
    """Its other end; also of one that SQLite has ended itself (a full disk)."""
    connection.rollback()
    driver_of(connection).rollback()


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        job.resolve()


def hold(path: Path) -> int:
    """Takes the file lock (`NAME.lock` beside a store called NAME) that makes this process its only owner.

    Returns a file descriptor: closing it, or the end of the process, lets go. Raises: StoreError if another has it.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StoreError(f"{path.with_suffix('')} is in use by another process: stop that one first") from None
    return handle


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # what users said must not reach a log by way of an error
        connect_args={"check_same_thread": False, "timeout": 30},
    )

    @event.listens_for(engine, "connect")
    def _connect(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # we say BEGIN ourselves
        for pragma in _PRAGMAS:
            dbapi.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver = driver_of(connection)
        if driver.in_transaction:  # begun by us, before SQLAlchemy's first statement
            return
        writer = connection.get_execution_options().get("triptych_writer", False)
        driver.execute("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _dumps(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # numbers of any length, halves of characters
        return json.dumps(value)
