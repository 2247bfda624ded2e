"""PostgreSQL with Qdrant Edge keeps every promise of an archival store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from archival_service.store import ArchivalStore
from archival_service.stores.tables import metadata
from embedders.wordllama import WordLlamaEmbedder
from servicekit.principal import Tenant
from tests.conformance.archival_contract import InsertingAndFinding
from tests.conformance.archival_documents import Documents
from tests.conformance.archival_keeping import Keeping
from tests.conformance.archival_sharing import SharingWithUsers
from tests.support.archival import Opened, opened
from tests.support.keys import new_user


@pytest.fixture
async def archival(tmp_path: Path, postgres_dsn: str) -> AsyncIterator[Opened]:
    async with opened(tmp_path, WordLlamaEmbedder(), dsn=postgres_dsn) as all_of_it:
        yield all_of_it


@pytest.fixture
def store(archival: Opened) -> ArchivalStore:
    return archival.store


@pytest.fixture
def tenant() -> Tenant:
    return new_user().tenant


class TestPostgresEdge(InsertingAndFinding, Keeping, Documents, SharingWithUsers):
    """All of them."""


async def test_the_migrations_make_the_columns_that_the_code_uses(archival: Opened, postgres_dsn: str) -> None:
    engine = create_engine(postgres_dsn)
    found = inspect(engine)
    for table in metadata.sorted_tables:
        assert {column["name"] for column in found.get_columns(table.name)} == set(table.columns.keys())
    engine.dispose()
