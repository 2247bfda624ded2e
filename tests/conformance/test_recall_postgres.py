"""The shared backend of recall, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from sqlalchemy import create_engine, inspect

from recall_service.store import Filters, RecallStore, Scope
from recall_service.stores import open_store
from recall_service.stores.tables import metadata
from tests.conformance.recall_contract import ANN, RecallWritingContract
from tests.conformance.recall_reading import RecallReadingContract
from tests.support.recall import batch, find_meaning, find_words

_OTHERS = {"pending", "vectors"}


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncIterator[RecallStore]:
    opened = await asyncio.to_thread(open_store, postgres_dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def replica(postgres_dsn: str, store: RecallStore) -> AsyncIterator[RecallStore]:
    """Another process's store on the same database."""
    opened = await asyncio.to_thread(open_store, postgres_dsn)
    yield opened
    await opened.close()


async def test_the_migrations_make_the_columns_that_the_code_uses(store: RecallStore, postgres_dsn: str) -> None:
    engine = create_engine(postgres_dsn)
    found = inspect(engine)
    for table in metadata.sorted_tables:
        if table.name not in _OTHERS:
            assert {column["name"] for column in found.get_columns(table.name)} == set(table.columns.keys())
    engine.dispose()


class TestPostgresWriting(RecallWritingContract):
    async def test_after_a_purge_no_table_has_a_row_of_the_users(self, store: RecallStore, postgres_dsn: str) -> None:
        (first, _) = await store.append(ANN, batch("one", "two"))
        await store.put_vectors(await store.waiting(1), np.ones((1, 4), dtype=np.float32))
        await store.update(ANN, first.id, "changed", "u")
        await store.purge(ANN, Scope("agent-1"), None, "")
        engine = create_engine(postgres_dsn)
        with engine.connect() as connection:
            for table in inspect(engine).get_table_names():
                if table != "alembic_version":
                    assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0, table
        engine.dispose()


class TestPostgresReading(RecallReadingContract):
    pass


async def test_writers_on_two_replicas_leave_no_gap_and_no_double(store: RecallStore, replica: RecallStore) -> None:
    batches = [batch(f"{writer}a", f"{writer}b") for writer in range(40)]
    stored = await asyncio.gather(*((store, replica)[i % 2].append(ANN, each) for i, each in enumerate(batches)))
    assert sorted(message.sequence for part in stored for message in part) == list(range(1, 81))


async def test_a_replay_on_the_other_replica_writes_once(store: RecallStore, replica: RecallStore) -> None:
    answers = await asyncio.gather(*(each.append(ANN, batch("hello", request="r")) for each in [store, replica] * 10))
    assert all(answer == answers[0] for answer in answers)
    assert await replica.count(ANN, Scope()) == 1


async def test_two_replicas_share_out_what_waits(store: RecallStore, replica: RecallStore) -> None:
    await store.append(ANN, batch(*(f"text {i}" for i in range(20))))
    mine, its = await asyncio.gather(store.waiting(10), replica.waiting(10))
    assert len({each.n for each in [*mine, *its]}) == 20
    assert await store.waiting(10) == mine
    await store.put_vectors(mine, np.ones((10, 4), dtype=np.float32))
    assert await store.waiting(10) == []
    assert len(await find_meaning(replica, ANN, np.ones(4, dtype=np.float32), Filters(), 100)) == 10


async def test_a_giant_message_is_kept_and_its_beginning_is_found(store: RecallStore) -> None:
    giant = " ".join(f"w{i:x}" for i in range(140_000))
    (kept,) = await store.append(ANN, batch(giant))
    assert await store.get(ANN, [kept.id]) == [kept]
    assert len(await find_words(store, ANN, "w1f", Filters(), 10)) == 1
