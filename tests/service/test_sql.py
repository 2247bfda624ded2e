"""The store that every service stands on: one writer, group commit, one owner."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from gateway.store import MIGRATIONS
from servicekit.sql import Database, StoreError, open_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'x.db'}", MIGRATIONS)
    await opened.write(lambda c: c.execute(text("CREATE TABLE t (x INTEGER)")) and None)
    yield opened
    await opened.close()


def insert(value: int, connection: Connection) -> int:
    connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": value})
    return value


def values(connection: Connection) -> list[int]:
    return list(connection.execute(text("SELECT x FROM t ORDER BY rowid")).scalars())


async def test_a_failing_write_takes_back_itself_and_not_its_neighbours(database: Database) -> None:
    def work(connection: Connection, value: int) -> int:
        insert(value, connection)
        if value % 3 == 0:
            raise ValueError(value)
        return value

    writes = (database.write(lambda c, value=i: work(c, value)) for i in range(30))  # type: ignore[misc]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [i % 3 == 0 for i in range(30)]
    assert await database.read(values) == [i for i in range(30) if i % 3]


async def test_writes_that_wait_are_committed_together_and_in_order(database: Database) -> None:
    gate, began = threading.Event(), threading.Event()

    def wait(_: Connection) -> None:
        began.set()
        assert gate.wait(10)

    blocked = asyncio.create_task(database.write(wait))
    assert await asyncio.to_thread(began.wait, 10)
    writes = [asyncio.create_task(database.write(lambda c, value=i: insert(value, c))) for i in range(50)]  # type: ignore[misc]
    await asyncio.sleep(0)
    gate.set()
    await blocked
    assert await asyncio.gather(*writes) == list(range(50))
    assert await database.read(values) == list(range(50))


async def test_a_caller_that_goes_away_does_not_harm_the_writer(database: Database) -> None:
    leaving = asyncio.create_task(database.write(lambda c: insert(1, c)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await database.write(lambda c: insert(2, c)) == 2
    assert await database.read(values) == [1, 2]


async def test_a_second_owner_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="in use by another process"):
        open_database(f"sqlite:///{tmp_path / 'x.db'}", MIGRATIONS)


@pytest.mark.parametrize("dsn", ["mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_a_store_that_there_is_no_backend_for_is_refused(dsn: str) -> None:
    with pytest.raises(StoreError):
        open_database(dsn, MIGRATIONS)


async def test_what_was_acknowledged_outlives_sigkill(tmp_path: Path) -> None:
    program = """
import asyncio, os, signal, sys
from sqlalchemy import text
from servicekit.sql import open_database
async def main():
    database = open_database(sys.argv[1], sys.argv[2])
    await database.write(lambda c: c.execute(text("CREATE TABLE t (x INTEGER)")) and None)
    for i in range(20):
        await database.write(lambda c: c.execute(text("INSERT INTO t VALUES (:x)"), {"x": i}) and None)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    dsn = f"sqlite:///{tmp_path / 'killed.db'}"
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", program, dsn, MIGRATIONS)
    assert await ended.wait() < 0
    again = open_database(dsn, MIGRATIONS)
    assert await again.read(values) == list(range(20))
    await again.close()
