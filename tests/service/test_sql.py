"""The store that every service stands on: one writer, group commit, one owner."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from gateway.store import MIGRATIONS
from servicekit.sql import Database, Part, Prepared, StoreError, open_database, sent_together
from triptych.errors import InvalidArgument, Unavailable

INSERT = Prepared(text("INSERT INTO t VALUES (:value)"))


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """On each backend."""
    opened = open_database(dsn, MIGRATIONS)
    await opened.write(lambda c: c.execute(text("CREATE TABLE t (x INTEGER)")) and None)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'x.db'}", MIGRATIONS)
    await opened.write(lambda c: c.execute(text("CREATE TABLE t (x INTEGER)")) and None)
    yield opened
    await opened.close()


def insert(value: int, connection: Connection) -> int:
    connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": value})
    return value


def prepared(value: int, connection: Connection) -> int:
    INSERT.run(connection, {"value": value})
    return value


def together(value: int, connection: Connection) -> int:
    with sent_together(connection):
        return prepared(value, connection)


def values(connection: Connection) -> list[int]:
    return list(connection.execute(text("SELECT x FROM t")).scalars())


async def test_a_failing_write_takes_back_itself_and_not_its_neighbours(database: Database) -> None:
    def work(connection: Connection, value: int) -> int:
        insert(value, connection)
        if value % 3 == 0:
            raise ValueError(value)
        return value

    writes = (database.write(lambda c, value=i: work(c, value)) for i in range(30))  # type: ignore[misc]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [i % 3 == 0 for i in range(30)]
    assert sorted(await database.read(values)) == [i for i in range(30) if i % 3]


async def test_writes_that_wait_are_committed_together_and_in_order(sqlite: Database) -> None:
    gate, began = threading.Event(), threading.Event()

    def wait(_: Connection) -> None:
        began.set()
        assert gate.wait(10)

    blocked = asyncio.create_task(sqlite.write(wait))
    assert await asyncio.to_thread(began.wait, 10)
    writes = [asyncio.create_task(sqlite.write(lambda c, value=i: insert(value, c))) for i in range(50)]  # type: ignore[misc]
    await asyncio.sleep(0)
    gate.set()
    await blocked
    assert await asyncio.gather(*writes) == list(range(50))
    assert await sqlite.read(values) == list(range(50))


async def test_a_caller_that_goes_away_does_not_harm_the_writer(database: Database) -> None:
    leaving = asyncio.create_task(database.write(lambda c: insert(1, c)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await database.write(lambda c: insert(2, c)) == 2
    assert await database.read(values) == [1, 2]


async def test_writes_that_must_be_alone_are_and_others_run_beside_them(database: Database) -> None:
    async def count(key: str) -> None:
        def work(connection: Connection) -> None:
            (seen,) = connection.execute(text("SELECT count(*) FROM t WHERE x = :x"), {"x": ord(key)}).one()
            connection.execute(text("INSERT INTO numbers VALUES (:name)"), {"name": f"{key}{seen}"})
            insert(ord(key), connection)

        await database.write(work, alone=("of", key))

    await database.write(lambda c: c.execute(text("CREATE TABLE numbers (name TEXT PRIMARY KEY)")) and None)
    await asyncio.gather(*(count(key) for key in "abcd" * 20))
    assert len(await database.read(values)) == 80


async def test_a_part_is_alone_beside_others_and_not_beside_the_whole(database: Database) -> None:
    def add_one(connection: Connection) -> None:
        (seen,) = values(connection)
        connection.execute(text("UPDATE t SET x = :x"), {"x": seen + 1})

    await database.write(lambda c: insert(0, c))
    both = (Part("whole", "part"), "whole")
    await asyncio.gather(*(database.write(add_one, alone=both[i % 2]) for i in range(20)))
    assert await database.read(values) == [20]


async def test_a_write_with_no_name_is_beside_none_at_all(database: Database) -> None:
    def add_one(connection: Connection) -> None:
        (seen,) = values(connection)
        connection.execute(text("UPDATE t SET x = :x"), {"x": seen + 1})

    await database.write(lambda c: insert(0, c))
    await asyncio.gather(*(database.write(add_one, alone=None if i % 2 else "name") for i in range(40)))
    assert await database.read(values) == [40]


async def test_reading_can_not_write(postgres_dsn: str) -> None:
    database = open_database(postgres_dsn, MIGRATIONS)
    with pytest.raises(Unavailable, match="can't be written"):
        await database.read(lambda c: c.execute(text("CREATE TABLE t (x INTEGER)")) and None)
    await database.close()


@pytest.mark.parametrize("put", [insert, prepared, together], ids=lambda put: put.__name__)
async def test_a_connection_that_was_lost_before_the_commit_is_made_anew(
    postgres_dsn: str, put: Callable[[int, Connection], int]
) -> None:
    database = open_database(postgres_dsn, MIGRATIONS)
    other = open_database(postgres_dsn, MIGRATIONS)
    await database.write(lambda c: c.execute(text("CREATE TABLE t (x INTEGER)")) and None)
    killed: list[int] = []

    def work(connection: Connection) -> int:
        if not killed:
            killed.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            asyncio.run_coroutine_threadsafe(
                other.read(
                    lambda c: c.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": killed[0]}) and None
                ),
                loop,
            ).result(10)
        return put(7, connection)

    loop = asyncio.get_running_loop()
    assert await database.write(work) == 7
    assert await database.read(values) == [7]
    await database.close()
    await other.close()


async def test_a_server_that_went_away_is_asked_again_when_it_is_back(postgres_server: str, postgres_dsn: str) -> None:
    database = open_database(postgres_dsn, MIGRATIONS)
    presence = database.presence("here")
    name = make_url(postgres_dsn).database
    engine = create_engine(make_url(postgres_server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        ended = text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name")
        server.execute(ended, {"name": name})
        for asked in (database.read(values), database.write(lambda c: insert(1, c), alone="ann"), presence.check()):
            with pytest.raises(Unavailable, match="can't be reached"):
                await asked
        server.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    engine.dispose()
    assert await presence.check()
    assert await database.read(lambda c: c.execute(text("SELECT 1")).scalar_one()) == 1
    await presence.close()
    await database.close()


async def test_a_server_that_is_away_is_named_without_its_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(StoreError) as caught:
        open_database("postgresql://ann:secret@127.0.0.1:1/x", MIGRATIONS)
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value) + caplog.text


async def test_a_full_disk_is_a_clear_error_and_what_was_acknowledged_stays(sqlite: Database) -> None:
    await sqlite.write(lambda c: insert(1, c))
    (pages,) = await sqlite.read(lambda c: tuple(c.exec_driver_sql("PRAGMA page_count").one()))
    await sqlite.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}") and None)
    large = text("INSERT INTO t SELECT value FROM json_each(:many)")
    with pytest.raises(Unavailable, match="disk is full"):
        await sqlite.write(lambda c: c.execute(large, {"many": str(list(range(100_000)))}) and None)
    await sqlite.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 1000000") and None)
    await sqlite.write(lambda c: insert(2, c))
    assert await sqlite.read(values) == [1, 2]


async def test_of_many_writes_at_once_one_that_has_no_room_fails_alone(sqlite: Database) -> None:
    (pages,) = await sqlite.read(lambda c: tuple(c.exec_driver_sql("PRAGMA page_count").one()))
    await sqlite.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}") and None)
    large = text("INSERT INTO t SELECT value FROM json_each(:many)")
    blocked = threading.Event()

    def giant(connection: Connection) -> int:
        connection.execute(large, {"many": str(list(range(100_000)))})
        return 0

    # The first holds the writer up until the others are there, so that they share a transaction.
    first = asyncio.create_task(sqlite.write(lambda c: blocked.wait(10) and None))
    await asyncio.sleep(0.05)
    writes = [sqlite.write(lambda c, n=n: insert(n, c)) for n in range(3)]
    writes += [sqlite.write(giant), *(sqlite.write(lambda c, n=n: insert(n, c)) for n in range(3, 6))]
    waiting = asyncio.gather(*writes, return_exceptions=True)
    await asyncio.sleep(0.05)
    blocked.set()
    await first
    came = await waiting
    assert isinstance(came.pop(3), Unavailable)
    assert came == list(range(6))
    assert await sqlite.read(values) == list(range(6))


async def test_a_nul_is_the_callers_fault(database: Database) -> None:
    """SQLite takes it."""
    counted = text("SELECT count(*) FROM users WHERE id = :id")
    for run in (database.read, database.write):
        if database.shared:
            with pytest.raises(InvalidArgument, match="NUL"):
                await run(lambda c: c.execute(counted, {"id": "a\0b"}).scalar_one())
        else:
            assert await run(lambda c: c.execute(counted, {"id": "a\0b"}).scalar_one()) == 0


async def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    with pytest.raises(StoreError, match="put back a copy"):
        open_database(f"sqlite:///{tmp_path}/damaged.db", MIGRATIONS)


async def test_a_store_of_a_newer_version_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path / 'agents.db'}"
    database = open_database(dsn, "agent_service:migrations")
    await database.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(StoreError, match="perhaps that of a newer one"):
        open_database(dsn, "agent_service:migrations")


async def test_a_second_owner_is_refused(sqlite: Database, tmp_path: Path) -> None:
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
