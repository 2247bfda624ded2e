"""PostgreSQL with a Qdrant server keeps every promise of an archival store.

The server is a facade over Qdrant Edge that speaks Qdrant's own contract, and a real one as well where
TRIPTYCH_TEST_QDRANT_URL names it (its gRPC address).
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from archival_service import opening, shared_index
from archival_service.keeper import Keeper
from archival_service.qdrant_settings import QdrantSettings
from archival_service.store import ArchivalStore, Entry, Filters
from archival_service.stores import qdrant_set_up
from archival_service.stores.indexed import IndexedStore
from archival_service.stores.qdrant import QdrantIndex
from embedders.wordllama import WordLlamaEmbedder
from servicekit.principal import Tenant
from servicekit.sql import StoreError
from tests.conformance.archival_contract import HYBRID, InsertingAndFinding, find
from tests.conformance.archival_documents import Documents
from tests.conformance.archival_keeping import Keeping
from tests.conformance.archival_sharing import SharingWithUsers
from tests.support.archival import FaultyIndex, Opened, insert_request, opened
from tests.support.keys import new_user
from tests.support.qdrant_facade import Facade, serving
from tests.support.recall import eventually
from triptych.errors import Unavailable

REAL = os.environ.get("TRIPTYCH_TEST_QDRANT_URL", "")


@pytest.fixture
async def facade() -> AsyncIterator[Facade]:
    async with serving() as running:
        yield running


@pytest.fixture(params=["facade", pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="no server"))])
def settings(request: pytest.FixtureRequest, facade: Facade) -> QdrantSettings:
    return QdrantSettings(REAL if request.param == "real" else facade.url, f"test-{uuid.uuid4()}")


@asynccontextmanager
async def replica(dsn: str, settings: QdrantSettings) -> AsyncIterator[Opened]:
    """One process's store, as the service opens it."""
    async with AsyncExitStack() as stack:
        sql = opening.open_sql(dsn)
        stack.push_async_callback(sql.close)
        embedder = WordLlamaEmbedder()
        index = FaultyIndex(await shared_index.open_shared(sql, settings, embedder, stack))
        keeper = Keeper(sql, index, settle_seconds=0.01)
        stack.push_async_callback(keeper.close)
        yield Opened(IndexedStore(sql, index, embedder, keeper), sql, index, keeper)


@pytest.fixture
async def archival(postgres_dsn: str, settings: QdrantSettings) -> AsyncIterator[Opened]:
    async with replica(postgres_dsn, settings) as all_of_it:
        yield all_of_it


@pytest.fixture
def store(archival: Opened) -> ArchivalStore:
    return archival.store


@pytest.fixture
def tenant() -> Tenant:
    return new_user().tenant


class TestPostgresQdrant(InsertingAndFinding, Keeping, Documents, SharingWithUsers):
    """All of them."""


async def test_the_collection_is_made_for_many_small_owners(archival: Opened, facade: Facade) -> None:
    (made,) = facade.collections.values()
    request = made.request
    assert made.fields["owner"]["fieldIndexParams"]["keywordIndexParams"]["isTenant"] is True
    assert "isTenant" not in str(made.fields["tags"])
    assert set(made.fields) == {"owner", "archive", "tags", "document", "file", "at"}
    assert (request.hnsw_config.m, request.hnsw_config.payload_m) == (0, 16)
    assert request.on_disk_payload
    assert request.vectors_config.params_map.map["dense"].on_disk
    assert request.quantization_config.scalar.always_ram
    assert (request.replication_factor, request.write_consistency_factor, request.shard_number) == (1, 1, 1)


async def test_promoted_owners_have_shards_of_their_own(postgres_dsn: str, facade: Facade) -> None:
    large, small = new_user().tenant, new_user().tenant
    settings = QdrantSettings(facade.url, "t", replication_factor=3, promoted=("/".join(large),))
    async with replica(postgres_dsn, settings) as archival:
        (made,) = facade.collections.values()
        assert made.shard_keys == ["shared", "/".join(large)]
        assert (made.request.replication_factor, made.request.write_consistency_factor) == (3, 2)
        await archival.store.insert(small, insert_request("a boat"))
        assert made.keys_written == {"shared"}
        await archival.store.insert(large, insert_request("a boat"))
        assert made.keys_written == {"shared", "/".join(large)}
        assert await find(archival.store, large, "boat") == ["a boat"]


async def test_two_replicas_see_what_either_wrote(postgres_dsn: str, settings: QdrantSettings, tenant: Tenant) -> None:
    async with replica(postgres_dsn, settings) as first, replica(postgres_dsn, settings) as second:
        request = insert_request("a red boat")
        await first.store.insert(tenant, request)
        assert await find(second.store, tenant, "boat") == ["a red boat"]
        await second.store.purge(tenant, None, "")
        assert await find(first.store, tenant, "boat") == []


async def test_replicas_that_start_at_once_build_one_index(
    postgres_dsn: str, settings: QdrantSettings, facade: Facade
) -> None:
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(replica(postgres_dsn, settings)) for _ in range(3)))
        assert len(facade.collections) == 1


async def test_what_a_dead_replica_did_not_bring_to_the_index_another_brings(
    postgres_dsn: str, settings: QdrantSettings, tenant: Tenant
) -> None:
    async with replica(postgres_dsn, settings) as first:
        first.index.failing = True
        with pytest.raises(Unavailable):
            await first.store.insert(tenant, insert_request("a red boat"))
    async with replica(postgres_dsn, settings) as second:
        assert await find(second.store, tenant, "boat") == ["a red boat"]


async def test_a_server_that_goes_away_loses_nothing(archival: Opened, facade: Facade, tenant: Tenant) -> None:
    await archival.store.insert(tenant, insert_request("a red boat"))
    facade.failing = True
    with pytest.raises(Unavailable, match="index failed"):
        await archival.store.insert(tenant, insert_request("a blue boat"))
    with pytest.raises(Unavailable):
        await find(archival.store, tenant, "boat", HYBRID)
    assert await archival.store.count_passages(tenant, []) == 2
    facade.failing = False
    found = await eventually(lambda: find(archival.store, tenant, "boat"), lambda texts: len(texts) == 2)
    assert set(found) == {"a red boat", "a blue boat"}


async def test_moving_from_edge_brings_every_passage_and_embeds_none(
    tmp_path: Path, postgres_dsn: str, settings: QdrantSettings, tenant: Tenant, facade: Facade
) -> None:
    texts = [f"boat number {number}" for number in range(30)]
    async with opened(tmp_path, WordLlamaEmbedder(), dsn=postgres_dsn) as before:
        await before.store.insert(tenant, insert_request(*texts))
        expected = await find(before.store, tenant, "boat number 7")
    async with replica(postgres_dsn, settings) as after:
        assert await find(after.store, tenant, "boat number 7") == expected
        await after.index.built()
        assert await find(after.store, tenant, "boat number 7") == expected
        assert await shared_index.verify(after.sql, after.index) == 30
        await after.index.forget([1])
        with pytest.raises(StoreError, match="29 passages and the store 30"):
            await shared_index.verify(after.sql, after.index)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ({}, {"shards": 2}),
        ({}, {"promoted": ("a/b",)}),
        ({"promoted": ("a/b",)}, {}),
        ({"promoted": ("a/b",)}, {"promoted": ("a/b", "a/c")}),
    ],
)
async def test_other_settings_build_another_collection_and_drop_the_old(
    postgres_dsn: str, settings: QdrantSettings, tenant: Tenant, facade: Facade, made: Any, wanted: Any
) -> None:
    async with replica(postgres_dsn, replace(settings, **made)) as before:
        await before.store.insert(tenant, insert_request("a red boat"))
    names = set(facade.collections)
    async with replica(postgres_dsn, replace(settings, **wanted)) as after:
        assert await find(after.store, tenant, "boat") == ["a red boat"]
        await eventually(lambda: names_now(facade), lambda left: len(left) == 1 and not names & left)
        await after.index.built()
        await after.store.insert(tenant, insert_request("a blue boat"))
        assert set(await find(after.store, tenant, "boat")) == {"a red boat", "a blue boat"}
    names = set(facade.collections)
    async with replica(postgres_dsn, replace(settings, **wanted)):
        assert set(facade.collections) == names


async def names_now(facade: Facade) -> set[str]:
    return set(facade.collections)


async def test_while_a_collection_is_filled_all_replicas_find_everything_and_write(
    tmp_path: Path, postgres_dsn: str, settings: QdrantSettings, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, WordLlamaEmbedder(), dsn=postgres_dsn) as before:
        red, *_ = await before.store.insert(tenant, insert_request("a red boat", "a blue boat"))
    gate = Gate(monkeypatch)
    async with replica(postgres_dsn, settings) as first, replica(postgres_dsn, settings) as second:
        await gate.reached.wait()
        for each in (first, second):
            assert set(await find(each.store, tenant, "boat")) == {"a red boat", "a blue boat"}
        await second.store.insert(tenant, insert_request("a boat of meanwhile"))
        await first.store.delete_passage(tenant, red.id, [], "")
        left = {"a blue boat", "a boat of meanwhile"}
        assert set(await find(first.store, tenant, "boat")) == left
        gate.open.set()
        for each in (first, second):
            await each.index.built()
            assert set(await find(each.store, tenant, "boat")) == left
        assert await first.index.count() == 2


async def test_when_the_replica_that_fills_it_goes_away_another_does(
    tmp_path: Path, postgres_dsn: str, settings: QdrantSettings, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, WordLlamaEmbedder(), dsn=postgres_dsn) as before:
        await before.store.insert(tenant, insert_request("a red boat", "a blue boat"))
    gate = Gate(monkeypatch)
    async with AsyncExitStack() as stack:
        async with replica(postgres_dsn, settings):
            await gate.reached.wait()
            second = await stack.enter_async_context(replica(postgres_dsn, settings))
            assert await second.index.count() == 0
        await second.index.built()
        assert await second.index.count() == 2


class Gate:
    """Holds up what a server is told of first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        put, gate = QdrantIndex.put, self

        async def gated(index: QdrantIndex, entries: Sequence[Entry]) -> None:
            if not gate.reached.is_set():
                gate.reached.set()
                await gate.open.wait()
            await put(index, entries)

        monkeypatch.setattr(QdrantIndex, "put", gated)


async def test_a_server_that_is_not_there_is_named(postgres_dsn: str) -> None:
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:1"):
        async with replica(postgres_dsn, QdrantSettings("http://127.0.0.1:1", "t")):
            pass


async def test_each_owner_is_apart_in_the_index_itself(archival: Opened, tenant: Tenant) -> None:
    other = Tenant(tenant.account_id, "another-user")
    request = insert_request("a boat")
    await archival.store.insert(tenant, request)
    (vector,) = await WordLlamaEmbedder().embed(["a boat"])
    for filters in (Filters(), Filters(archive_ids=(request.archive_id,))):
        mine = await archival.index.candidates(tenant, filters, 10, vector=vector, words="boat")
        assert [len(side) for side in mine] == [1, 1]
        assert await archival.index.candidates(other, filters, 10, vector=vector, words="boat") == ([], [])
    assert np.isclose(mine[0][0].score, 1.0, atol=1e-3)


def test_the_vectors_are_scored_by_their_product() -> None:
    made = qdrant_set_up.vectors(256)
    assert (made.size, made.distance, made.on_disk) == (256, models.Distance.DOT, True)
