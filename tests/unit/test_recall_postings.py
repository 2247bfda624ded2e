"""Words in memory: what FTS5 would say, also of words that very many have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from recall_service.store import Filters, Scope
from recall_service.stores import postings
from recall_service.stores.postings import MOST_ROWS, extrapolated
from recall_service.stores.sql import SqlRecallStore
from recall_service.stores.sqlite import SqliteIndex
from servicekit.principal import Tenant
from servicekit.sql import open_database
from tests.support.recall import batch, find_words, numbered

ANN, BOB = Tenant("account", "ann"), Tenant("account", "bob")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlRecallStore]:
    database = open_database(f"sqlite:///{tmp_path}/recall.db", "recall_service:migrations")
    yield SqlRecallStore(database, SqliteIndex(database))
    await database.close()


async def _found(store: SqlRecallStore, query: str, *, tenant: Tenant = ANN, agent: str = "") -> list[str]:
    found = await find_words(store, tenant, query, Filters(Scope(agent)), 10_000)
    messages = await numbered(store, tenant, found[:500])
    return [messages[each.n].text for each in found[:500]]


async def test_a_word_that_very_many_messages_of_others_have_is_found_among_ones_own(
    store: SqlRecallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postings, "_MOST_ANYWHERE", 50)
    await store.append(ANN, batch("an early walrus"))
    await store.append(BOB, batch(*(f"walrus {number}" for number in range(60))))
    assert await _found(store, "walrus") == ["an early walrus"]
    assert len(await _found(store, "walrus", tenant=BOB)) == 60


async def test_what_comes_is_found_by_words_asked_for_before(store: SqlRecallStore) -> None:
    await store.append(ANN, batch("one walrus"))
    assert await _found(store, "walrus otter") == ["one walrus"]
    await store.append(ANN, batch("another walrus", "an otter"))
    await store.append(ANN, batch("a third walrus", agent="agent-2", conversation="conv-2"))
    assert sorted(await _found(store, "walrus otter")) == ["a third walrus", "an otter", "another walrus", "one walrus"]
    assert sorted(await _found(store, "walrus", agent="agent-1")) == ["another walrus", "one walrus"]


async def test_of_a_word_that_all_messages_have_the_newest_count(store: SqlRecallStore) -> None:
    await store.append(ANN, batch(*(f"walrus {number}" for number in range(MOST_ROWS))))
    await store.append(ANN, batch("walrus and otter", "the last walrus"))
    found = await find_words(store, ANN, "walrus", Filters(), 10_000)
    assert len(found) == MOST_ROWS
    assert (await _found(store, "walrus"))[0] == "the last walrus"
    assert (await _found(store, "walrus otter"))[0] == "walrus and otter"


def test_how_common_a_word_is_is_told_from_where_its_newest_messages_stand() -> None:
    members = np.arange(1, 100_001)
    every_tenth = members[9::10][-MOST_ROWS:]
    assert extrapolated(every_tenth, members) == pytest.approx(10_000, rel=0.01)
    assert extrapolated(members[-MOST_ROWS:], members) == 100_000
    assert extrapolated(members[:MOST_ROWS], members) == MOST_ROWS


async def test_what_was_purged_is_not_found_by_a_word_asked_for_before(store: SqlRecallStore) -> None:
    await store.append(ANN, batch("one walrus"))
    await store.append(ANN, batch("two walrus", conversation="conv-2"))
    assert len(await _found(store, "walrus")) == 2
    await store.purge(ANN, Scope(conversation_id="conv-2"), None, "")
    assert await _found(store, "walrus") == ["one walrus"]
