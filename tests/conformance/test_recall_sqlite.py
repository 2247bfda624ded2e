"""The embedded backend of recall."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from recall_service.store import Filters, RecallStore, Scope
from recall_service.stores import open_store
from recall_service.stores.tables import metadata
from tests.conformance.recall_contract import ANN, RecallWritingContract
from tests.conformance.recall_reading import RecallReadingContract
from tests.support.recall import batch, find_meaning, find_words, page
from triptych.errors import Unavailable
from triptych.recall.v1.recall_pb2 import ListMessagesRequest


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RecallStore]:
    opened = open_store(f"sqlite:///{tmp_path}/recall.db")
    yield opened
    await opened.close()


async def test_the_migrations_make_the_tables_that_the_code_uses(store: RecallStore, tmp_path: Path) -> None:
    def ours(_item: object, name: str | None, *_: object) -> bool:
        return not str(name).startswith("messages_fts")

    engine = create_engine(f"sqlite:///{tmp_path}/recall.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


class TestSqliteWriting(RecallWritingContract):
    async def test_after_a_purge_no_table_has_a_row_of_the_users(self, store: RecallStore, tmp_path: Path) -> None:
        (first, _) = await store.append(ANN, batch("one", "two"))
        await store.put_vectors(await store.waiting(1), np.ones((1, 4), dtype=np.float32))
        await store.update(ANN, first.id, "changed", "u")
        await store.purge(ANN, Scope("agent-1"), None, "")
        with sqlite3.connect(tmp_path / "recall.db") as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if not table.startswith(("sqlite_", "alembic_", "messages_fts_")):
                    assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


class TestSqliteReading(RecallReadingContract):
    async def test_all_is_there_after_it_was_closed_and_opened(self, tmp_path: Path) -> None:
        dsn = f"sqlite:///{tmp_path}/other.db"
        first = open_store(dsn)
        kept = await first.append(ANN, batch("purple elephants", "waiting"))
        await first.put_vectors((await first.waiting(10))[:1], np.ones((1, 4), dtype=np.float32))
        await first.close()
        second = open_store(dsn)
        assert await second.get(ANN, [message.id for message in kept]) == kept
        assert len(await find_words(second, ANN, "elephant", Filters(), 10)) == 1
        assert len(await find_meaning(second, ANN, np.ones(4, dtype=np.float32), Filters(), 10)) == 1
        assert [each.text for each in await second.waiting(10)] == ["user: waiting"]
        (third,) = await second.append(ANN, batch("more"))
        assert third.sequence == 3
        await second.close()


async def test_a_file_that_was_damaged_says_so_and_what_to_do(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/recall.db")
    await store.append(ANN, batch(*(f"walrus {number} " + "x" * 500 for number in range(500))))
    await store.close()
    file = tmp_path / "recall.db"
    content = bytearray(file.read_bytes())
    # All but the schema, and what a start reads of it.
    middle = len(content) // 3
    content[middle : 3 * middle - 1] = b"\xa5" * (2 * middle - 1)
    file.write_bytes(content)
    store = open_store(f"sqlite:///{tmp_path}/recall.db")
    for look in (
        lambda: find_words(store, ANN, "walrus", Filters(), 10),
        lambda: store.list_page(ANN, ListMessagesRequest(), page(500)),
    ):
        with pytest.raises(Unavailable, match="damaged"):
            await look()
    await store.close()
