"""SQLite with Qdrant Edge keeps every promise of an archival store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from archival_service.store import ArchivalStore, Filters
from archival_service.stores import passages
from archival_service.stores.tables import metadata
from embedders.wordllama import WordLlamaEmbedder
from servicekit.principal import Tenant
from tests.conformance.archival_contract import InsertingAndFinding
from tests.conformance.archival_documents import Documents
from tests.conformance.archival_keeping import Keeping
from tests.conformance.archival_sharing import SharingWithUsers
from tests.support.archival import Opened, insert_request, opened
from tests.support.keys import new_user


@pytest.fixture
async def archival(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(tmp_path, WordLlamaEmbedder()) as all_of_it:
        yield all_of_it


@pytest.fixture
def store(archival: Opened) -> ArchivalStore:
    return archival.store


@pytest.fixture
def tenant() -> Tenant:
    return new_user().tenant


class TestSqliteEdge(InsertingAndFinding, Keeping, Documents, SharingWithUsers):
    """All of them."""


async def test_index_and_sql_each_keep_owners_apart_by_themselves(archival: Opened, tenant: Tenant) -> None:
    other = Tenant(tenant.account_id, "another-user")
    request = insert_request("a boat")
    await archival.store.insert(tenant, request)
    (vector,) = await WordLlamaEmbedder().embed(["a boat"])
    for filters in (
        Filters(),
        Filters(archive_ids=(request.archive_id,)),
        Filters(archive_ids=("a", request.archive_id)),
    ):
        mine = await archival.index.candidates(tenant, filters, 10, vector=vector, words="boat")
        assert [len(side) for side in mine] == [1, 1]
        assert await archival.index.candidates(other, filters, 10, vector=vector, words="boat") == ([], [])
    numbers = [mine[0][0].n]
    assert len(await archival.sql.read(lambda c: passages.by_numbers(c, tenant, numbers))) == 1
    assert await archival.sql.read(lambda c: passages.by_numbers(c, other, numbers)) == {}


async def test_the_migrations_make_the_tables_that_the_code_uses(archival: Opened, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/archival.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
