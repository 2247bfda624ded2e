"""The vectors in memory: never behind what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from pathlib import Path

import numpy as np
import pytest

from embedders.protocol import normalised
from recall_service.questions import Asks
from recall_service.store import Filters, Scope, Waiting
from recall_service.stores import vectors
from recall_service.stores.growing import Growing
from recall_service.stores.matrix import Matrix
from recall_service.stores.sql import SqlRecallStore
from recall_service.stores.sqlite import SqliteIndex
from recall_service.stores.vectors import VectorCache
from servicekit.principal import Tenant
from servicekit.sql import Database, T, Work, open_database
from tests.support.recall import batch, find_meaning, said
from triptych.type.v1 import type_pb2

ANN, BOB = Tenant("account", "ann"), Tenant("account", "bob")
_QUERY = np.ones(4, dtype=np.float32)


class HeldDatabase:
    """A real database whose reads can be held back after they have seen what they see."""

    shared = False

    def __init__(self, database: Database) -> None:
        self._database = database
        self.has_read, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()
        self.reads = 0

    async def read(self, work: Work[T], *, brief: bool = False) -> T:
        self.reads += 1
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


async def _embed(store: SqlRecallStore) -> list[Waiting]:
    waiting = await store.waiting(100)
    await store.put_vectors(waiting, np.ones((len(waiting), 4), dtype=np.float32))
    return waiting


async def _count_found(store: SqlRecallStore) -> int:
    return len(await find_meaning(store, ANN, _QUERY, Filters(), 10_000))


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
    assert await early == 2
    assert await _count_found(store) == 2


async def test_many_vectors_are_searched_like_few(database: HeldDatabase) -> None:
    store = SqlRecallStore(database, SqliteIndex(database))
    for part in range(5):
        await store.append(ANN, batch(*(f"{part}/{number}" for number in range(1_000))))
    while await store.waiting(1):
        await _embed(store)
    assert await _count_found(store) == 5_000
    assert len(await find_meaning(store, ANN, _QUERY, Filters(), 3)) == 3


async def test_a_search_that_gives_up_leaves_what_it_was_reading_to_the_next(database: HeldDatabase) -> None:
    store = SqlRecallStore(database, SqliteIndex(database))
    await store.append(ANN, batch("one", "two"))
    await _embed(store)
    database.reads = 0
    database.has_read.clear()
    database.go_on.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await _count_found(store)
    later = asyncio.create_task(store.near(ANN, Scope()))
    await database.has_read.wait()
    database.go_on.set()
    await later
    assert database.reads == 1
    assert await _count_found(store) == 2


async def test_vectors_that_come_do_not_move_those_that_are_there(database: HeldDatabase) -> None:
    cache = VectorCache(database)
    store = SqlRecallStore(database, SqliteIndex(database))
    kept = []
    for text in "abcdef":
        await store.append(ANN, batch(text))
        cache.came(await _embed(store))
        kept.append(await cache.matrix(ANN, ""))
    assert [len(matrix) for matrix in kept] == [1, 2, 3, 4, 5, 6]
    assert [len(matrix.nearest(_QUERY, Filters(), 10)) for matrix in kept] == [1, 2, 3, 4, 5, 6]
    # The room that was made for the fourth had room for the fifth.
    assert np.shares_memory(kept[3].columns.n, kept[4].columns.n)


async def test_what_changes_at_one_user_leaves_anothers_vectors_in_memory(database: HeldDatabase) -> None:
    store = SqlRecallStore(database, SqliteIndex(database))
    (hers,) = await store.append(ANN, batch("hers"))
    await store.append(BOB, batch("his"))
    await _embed(store)
    near = await store.near(BOB, Scope())
    await store.update(ANN, hers.id, "changed", "")
    await _embed(store)
    assert await store.near(BOB, Scope()) is near
    assert await _count_found(store) == 1


async def test_however_many_people_search_their_vectors_take_no_more_memory_than_they_may(
    database: HeldDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cache = SqlRecallStore(database, SqliteIndex(database)), VectorCache(database)
    people = [Tenant("account", str(number)) for number in range(8)]
    for person in people:
        await store.append(person, batch("one", "two"))
    await _embed(store)
    of_one = (await cache.matrix(people[0], "")).size_bytes
    monkeypatch.setattr(vectors, "_MOST_BYTES", 3 * of_one)
    database.reads = 0
    for person in people:
        assert len(await cache.matrix(person, "")) == 2
    assert database.reads == len(people) - 1
    # The last three are there, and of what is forgotten nothing counts any more.
    for person in people[-3:]:
        await cache.matrix(person, "")
    assert database.reads == len(people) - 1
    cache.forget_all()
    for person in people[:3] * 2:
        await cache.matrix(person, "")
    assert database.reads == len(people) + 2


def test_a_grown_array_does_not_write_over_one_that_grew_from_the_same() -> None:
    growing = Growing(np.arange(4))
    first = growing.with_later(np.arange(4), np.array([4]))
    one, other = growing.with_later(first, np.array([5])), growing.with_later(first, np.array([6]))
    assert (one.tolist(), other.tolist()) == ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 6])


def test_the_best_of_very_many_are_found_though_most_are_looked_at_roughly() -> None:
    generator = np.random.default_rng(1)
    # Most of what tells them apart is in a few of their numbers.
    spread = np.linspace(3.0, 0.1, 128) ** 2
    vectors = normalised((generator.standard_normal((20_000, 128)) * spread).astype(np.float32))
    rows = [(n, 2, 0, n, "c", "", 0, vector.astype("<f2").tobytes()) for n, vector in enumerate(vectors, 1)]
    matrix = Matrix().grown(rows[:15_000]).grown(rows[15_000:])
    for query in vectors[:20] + 0.1 * generator.standard_normal((20, 128)).astype(np.float32):
        exact = np.argsort(-(vectors @ query))[:10] + 1
        found = [each.n for each in matrix.nearest(query, Filters(), 100)]
        assert len(set(found) & set(exact.tolist())) >= 9
        assert found[0] == exact[0]


def test_of_very_many_that_say_the_same_the_newest_are_found() -> None:
    same = np.ones(64, dtype="<f2").tobytes()
    matrix = Matrix().grown([(n, 2, 0, n, "c", "", 0, same) for n in range(1, 40_001)])
    assert [each.n for each in matrix.nearest(np.ones(64, dtype=np.float32), Filters(), 3)] == [40_000, 39_999, 39_998]


async def test_places_are_the_same_from_memory_as_from_the_table(database: HeldDatabase) -> None:
    index = SqliteIndex(database)
    store = SqlRecallStore(database, index)
    for conversation in ("conv-1", "conv-2"):
        named = [said(text, name=f"speaker {at % 2}", at=at) for at, text in enumerate(("0", "1", "2?"))]
        await store.append(ANN, batch(*named, said("noted", type_pb2.ROLE_ASSISTANT), conversation=conversation))
    numbers = [7, 1, 3, 8, 4]
    assert index.places(ANN, Scope(), numbers) is None
    stored = await store.look(ANN, lambda seen: seen.places(numbers, Scope()))
    await _embed(store)
    await _count_found(store)
    kept = index.places(ANN, Scope(), numbers)
    assert kept is not None
    for places in (stored, kept):
        assert places.n.tolist() == [1, 3, 4, 7, 8]
        assert places.sequence.tolist() == [1, 3, 4, 3, 4]
        assert len(set(places.conversation[:3].tolist())) == len(set(places.conversation[3:].tolist())) == 1
        assert places.conversation[0] != places.conversation[3]
        assert [places.speakers[each] for each in places.speaker] == [
            ("speaker 0", type_pb2.ROLE_USER),
            ("speaker 0", type_pb2.ROLE_USER),
            ("", type_pb2.ROLE_ASSISTANT),
            ("speaker 0", type_pb2.ROLE_USER),
            ("", type_pb2.ROLE_ASSISTANT),
        ]
    assert stored.created_at.tolist() == kept.created_at.tolist()
    assert stored.asks.tolist() == kept.asks.tolist() == [0, Asks.LAST | Asks.ONLY, 0, Asks.LAST | Asks.ONLY, 0]
    assert index.places(ANN, Scope(), [1, 99]) is None


async def test_vectors_that_come_while_many_are_read_do_not_undo_the_reading(database: HeldDatabase) -> None:
    store = SqlRecallStore(database, SqliteIndex(database))
    await store.append(ANN, batch(*(str(number) for number in range(10))))
    first, *later = await store.waiting(10)
    await store.put_vectors([first], np.ones((1, 4), dtype=np.float32))
    database.has_read.clear()
    database.go_on.clear()
    early = asyncio.create_task(_count_found(store))
    await database.has_read.wait()
    database.go_on.set()
    await store.put_vectors(later, np.ones((9, 4), dtype=np.float32))
    assert await early >= 1
    database.reads = 0
    await store.near(ANN, Scope())
    # What was read is kept, and only what came since is read.
    assert database.reads <= 1
    await store.near(ANN, Scope())
    assert database.reads <= 1
    assert await _count_found(store) == 10
