"""The vectors in memory: never behind what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from pathlib import Path

import numpy as np
import pytest

from recall_service.store import Filters, Scope
from recall_service.stores.sql import SqlRecallStore
from recall_service.stores.sqlite import SqliteIndex
from servicekit.principal import Tenant
from servicekit.sql import Database, T, Work, open_database
from tests.support.recall import batch

ANN = Tenant("account", "ann")
_QUERY = np.ones(4, dtype=np.float32)


class HeldDatabase:
    """A real database whose reads can be held back after they have seen what they see."""

    shared = False

    def __init__(self, database: Database) -> None:
        self._database = database
        self.has_read, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def read(self, work: Work[T]) -> T:
        result = await self._database.read(work)
        self.has_read.set()
        await self.go_on.wait()
        return result

    async def write(self, work: Work[T], *, alone: Hashable = None) -> T:
        return await self._database.write(work, alone=alone)

    async def close(self) -> None:
        await self._database.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[HeldDatabase]:
    held = HeldDatabase(open_database(f"sqlite:///{tmp_path}/recall.db", "recall_service:migrations"))
    yield held
    await held.close()


async def _embed(store: SqlRecallStore) -> None:
    waiting = await store.waiting(100)
    await store.put_vectors(waiting, np.ones((len(waiting), 4), dtype=np.float32))


async def _count_found(store: SqlRecallStore) -> int:
    return len(await store.find_meaning(ANN, _QUERY, Filters(), 10_000))


async def test_a_search_that_began_before_a_purge_does_not_bring_back_what_was_purged(database: HeldDatabase) -> None:
    store = SqlRecallStore(database, SqliteIndex(database))
    await store.append(ANN, batch("one", "two"))
    await _embed(store)
    database.has_read.clear()
    database.go_on.clear()
    early = asyncio.create_task(_count_found(store))
    await database.has_read.wait()
    await store.purge(ANN, Scope(), None, "")
    database.go_on.set()
    await early
    assert await _count_found(store) == 0


async def test_a_search_that_began_before_vectors_came_does_not_hide_them(database: HeldDatabase) -> None:
    store = SqlRecallStore(database, SqliteIndex(database))
    await store.append(ANN, batch("one", "two"))
    first, second = await store.waiting(10)
    await store.put_vectors([second], np.ones((1, 4), dtype=np.float32))
    database.has_read.clear()
    database.go_on.clear()
    early = asyncio.create_task(_count_found(store))
    await database.has_read.wait()
    await store.put_vectors([first], np.ones((1, 4), dtype=np.float32))
    database.go_on.set()
    assert await early == 1
    assert await _count_found(store) == 2


async def test_many_vectors_are_searched_like_few(database: HeldDatabase) -> None:
    store = SqlRecallStore(database, SqliteIndex(database))
    for part in range(5):
        await store.append(ANN, batch(*(f"{part}/{number}" for number in range(1_000))))
    while await store.waiting(1):
        await _embed(store)
    assert await _count_found(store) == 5_000
    assert len(await store.find_meaning(ANN, _QUERY, Filters(), 3)) == 3
