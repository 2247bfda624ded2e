"""An owner with a shard of their own finds and is answered as all others are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from archival_service.store import ArchivalStore
from archival_service.stores import own_shards
from archival_service.stores.edge import EdgeIndex
from archival_service.stores.own_shards import OwnShard
from archival_service.stores.shard import Shard
from embedders.wordllama import WordLlamaEmbedder
from servicekit.principal import Tenant
from tests.conformance.archival_contract import InsertingAndFinding
from tests.support.archival import opened
from tests.support.keys import new_user


@pytest.fixture
def tenant() -> Tenant:
    return new_user().tenant


@pytest.fixture
async def store(tmp_path: Path, tenant: Tenant) -> AsyncIterator[ArchivalStore]:
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        index = archival.index.real
        assert isinstance(index, EdgeIndex)
        own = OwnShard(own_shards.new(index.folder), tenant, passages=0)
        index.take(own, await index.run(lambda: Shard.create(own.folder, index.dimensions, alone=True)))
        yield archival.store
        assert not await index.shared_has(tenant)


class TestOwnShard(InsertingAndFinding):
    """Inserting and finding, in a shard of one's own."""
