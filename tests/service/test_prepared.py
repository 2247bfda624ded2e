"""Prepared statements do on every backend what SQLAlchemy does with the same statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.exc import CompileError, IntegrityError

from gateway.store import MIGRATIONS
from servicekit.sql import Database, Prepared, open_database, sent_together

THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("told", JSON),
    Column("is_new", Boolean, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)
ADD = Prepared(insert(THINGS))
ALL = Prepared(select(THINGS, (THINGS.c.id + 1).label("next_id")).order_by(THINGS.c.id))
ONE = Prepared(select(THINGS).where(THINGS.c.id == bindparam("of_id"), THINGS.c.id > 0))
OLD = Prepared(update(THINGS).where(THINGS.c.id >= bindparam("least")).values(is_new=False, raw=bindparam("now")))


def thing(number: int) -> dict[str, Any]:
    return {"id": number, "told": {"n": [number, "é"]}, "is_new": True, "raw": bytes([number])}


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    opened = open_database(dsn, MIGRATIONS)
    await opened.write(THINGS.metadata.create_all)
    yield opened
    await opened.close()


async def test_many_rows_are_inserted_each_once(database: Database) -> None:
    many = [{**thing(0), "id": number, "told": {"n": number}} for number in range(1, 251)]
    changed = await database.write(lambda c: ADD.run(c, *many))
    assert changed in (250, -1)
    rows = await database.read(lambda c: ALL.all(c, {}))
    assert [(row.id, row.told) for row in rows] == [(each["id"], each["told"]) for each in many]
    with pytest.raises(IntegrityError):
        await database.write(lambda c: ADD.run(c, *({**thing(0), "id": number} for number in range(400, 200, -1))))
    assert len(await database.read(lambda c: ALL.all(c, {}))) == 250


async def test_values_are_of_the_columns_types(database: Database) -> None:
    await database.write(lambda c: ADD.run(c, thing(1)))
    await database.write(lambda c: ADD.run(c, thing(2), {**thing(3), "told": None}))
    rows = await database.read(lambda c: ALL.all(c, {}))
    assert [(row.id, row.told, row.is_new, bytes(row.raw), row.next_id) for row in rows] == [
        (1, {"n": [1, "é"]}, True, b"\1", 2),
        (2, {"n": [2, "é"]}, True, b"\2", 3),
        (3, None, True, b"\3", 4),
    ]
    many = [{**thing(number), "told": None if number % 2 else {"n": number}} for number in range(10, 30)]
    await database.write(lambda c: ADD.run(c, *many))
    rows = await database.read(lambda c: ALL.all(c, {}))
    assert [(row.told, row.is_new, bytes(row.raw)) for row in rows[3:]] == [
        (each["told"], True, each["raw"]) for each in many
    ]
    first = await database.read(lambda c: ONE.first(c, {"of_id": 2}))
    assert first is not None
    assert first._asdict()["told"] == {"n": [2, "é"]}
    assert await database.read(lambda c: ONE.first(c, {"of_id": 9})) is None


async def test_an_update_says_how_many_rows_it_changed(database: Database) -> None:
    await database.write(lambda c: ADD.run(c, thing(1), thing(2), thing(3)))
    assert await database.write(lambda c: OLD.run(c, {"least": 2, "now": b"x"})) == 2
    assert await database.write(lambda c: OLD.run(c)) == 0
    rows = await database.read(lambda c: ALL.all(c, {}))
    assert [(row.is_new, bytes(row.raw)) for row in rows] == [(True, b"\1"), (False, b"x"), (False, b"x")]


async def test_an_error_is_sqlalchemys_and_does_not_tell_what_was_written(database: Database) -> None:
    await database.write(lambda c: ADD.run(c, thing(1)))
    with pytest.raises(IntegrityError) as raised:
        await database.write(lambda c: ADD.run(c, {**thing(1), "told": {"n": "secret"}}))
    assert "secret" not in str(raised.value)


async def test_what_is_sent_together_is_all_there_and_in_order_or_fails_as_a_whole(database: Database) -> None:
    def write(connection: Connection, first: int) -> None:
        with sent_together(connection):
            ADD.run(connection, thing(first), thing(first + 1))
            OLD.run(connection, {"least": first + 1, "now": b"x"})
            ADD.run(connection, thing(first + 2))

    await database.write(lambda c: write(c, 1))
    with pytest.raises(IntegrityError):
        await database.write(lambda c: write(c, 3))
    rows = await database.read(lambda c: ALL.all(c, {}))
    assert [(row.id, row.is_new) for row in rows] == [(1, True), (2, False), (3, True)]


async def test_a_read_behind_what_was_sent_together_sees_it(database: Database) -> None:
    def write(connection: Connection) -> list[int]:
        ONE.first(connection, {"of_id": 1})
        with sent_together(connection):
            ADD.run(connection, thing(1))
            ADD.run(connection, thing(2), thing(3))
        return [row.id for row in ALL.all(connection, {})]

    assert await database.write(write) == [1, 2, 3]


async def test_an_update_that_would_set_what_it_looks_for_is_refused(database: Database) -> None:
    wrong = Prepared(update(THINGS).where(THINGS.c.id == bindparam("id")).values(is_new=False))
    with pytest.raises((ValueError, CompileError)):
        await database.write(lambda c: wrong.run(c, {"id": 1}))


async def test_a_read_sees_one_state_of_things(database: Database) -> None:
    await database.write(lambda c: ADD.run(c, thing(1)))
    loop = asyncio.get_running_loop()

    def twice(connection: Connection) -> tuple[int, int]:
        first = len(ALL.all(connection, {}))
        asyncio.run_coroutine_threadsafe(database.write(lambda c: ADD.run(c, thing(2))), loop).result(20)
        return first, len(ALL.all(connection, {}))

    assert await database.read(twice) == (1, 1)
    assert await database.read(lambda c: len(ALL.all(c, {}))) == 2
