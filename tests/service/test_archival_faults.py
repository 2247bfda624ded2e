"""The embedder away, the index failing, callers that leave: the store stays right and mends itself while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from archival_service.store import Filters, Query
from embedders.openai import OpenAIEmbedder
from servicekit import ids
from servicekit.principal import Tenant
from tests.support.archival import Opened, insert_request, opened
from tests.support.embeddings import DIMENSIONS, EmbeddingsServer, serving
from tests.support.keys import new_user
from triptych.errors import InvalidArgument, Unavailable
from triptych.type.v1 import type_pb2

_PATIENCE_SECONDS = 60


@pytest.fixture
def endpoint() -> Iterator[EmbeddingsServer]:
    with serving() as script:
        yield script


@pytest.fixture
async def archival(tmp_path: Path, endpoint: EmbeddingsServer) -> AsyncIterator[Opened]:
    embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
    async with opened(tmp_path, embedder) as all_of_it:
        yield all_of_it
    await embedder.close()


@pytest.fixture
def tenant() -> Tenant:
    return new_user().tenant


async def words(archival: Opened, tenant: Tenant, query: str) -> list[str]:
    hits = await archival.store.search(tenant, Query(query, type_pb2.SEARCH_MODE_LEXICAL), Filters(), 10)
    return [hit.passage.text for hit in hits]


async def until_indexed(archival: Opened, count: int) -> None:
    """Returns when the keeper has brought the index to so many passages."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            archival.index.flushed.clear()  # before the look, so that a flush right after it is not missed
            if await archival.index.count() == count:
                return
            await archival.index.flushed.wait()


async def test_without_its_embedder_an_insert_stores_nothing(
    archival: Opened, endpoint: EmbeddingsServer, tenant: Tenant
) -> None:
    endpoint.always = lambda _: (401, b"")
    request = insert_request("a boat")
    with pytest.raises(Unavailable) as caught:
        await archival.store.insert(tenant, request)
    assert caught.value.reason == type_pb2.ERROR_REASON_EMBEDDER_UNAVAILABLE
    assert await archival.store.count_passages(tenant, []) == 0
    assert await archival.index.count() == 0


async def test_without_its_embedder_a_replay_is_answered_and_words_are_found(
    archival: Opened, endpoint: EmbeddingsServer, tenant: Tenant
) -> None:
    request = insert_request("a boat")
    stored = await archival.store.insert(tenant, request)
    endpoint.always = lambda _: (401, b"")
    assert await archival.store.insert(tenant, request) == stored
    assert await words(archival, tenant, "boat") == ["a boat"]
    (hit,) = await archival.store.search(tenant, Query("boat", type_pb2.SEARCH_MODE_HYBRID), Filters(), 10)
    assert (hit.passage.text, hit.dense) == ("a boat", 0)
    with pytest.raises(Unavailable):
        await archival.store.search(tenant, Query("boat", type_pb2.SEARCH_MODE_SEMANTIC), Filters(), 10)


async def test_texts_that_the_embedder_refuses_are_the_callers_fault(
    archival: Opened, endpoint: EmbeddingsServer, tenant: Tenant
) -> None:
    endpoint.always = lambda _: (400, b"")
    with pytest.raises(InvalidArgument):
        await archival.store.insert(tenant, insert_request("a boat"))
    assert await archival.store.count_passages(tenant, []) == 0


async def test_nothing_is_embedded_for_an_archive_that_is_not_there(
    archival: Opened, endpoint: EmbeddingsServer, tenant: Tenant
) -> None:
    with pytest.raises(Exception, match="not found"):
        await archival.store.insert(tenant, insert_request("a boat", create=""))
    assert endpoint.asked == []


async def test_an_insert_that_the_index_failed_is_kept_and_brought_there_later(
    archival: Opened, tenant: Tenant
) -> None:
    archival.index.failing = True
    with pytest.raises(Unavailable) as caught:
        await archival.store.insert(tenant, insert_request("a boat"))
    assert caught.value.reason == type_pb2.ERROR_REASON_UNAVAILABLE
    assert await archival.store.count_passages(tenant, []) == 1
    archival.index.failing = False
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await archival.index.put_done.wait()
    assert await words(archival, tenant, "boat") == ["a boat"]


async def test_a_replay_is_acknowledged_only_when_the_index_has_it(tmp_path: Path, endpoint: EmbeddingsServer) -> None:
    tenant, request = new_user().tenant, insert_request("a boat")
    embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
    async with opened(tmp_path, embedder, settle_seconds=3600) as archival:  # the keeper does not help
        archival.index.failing = True
        for _ in range(2):
            with pytest.raises(Unavailable):
                await archival.store.insert(tenant, request)
        archival.index.failing = False
        await archival.store.insert(tenant, request)
        assert await words(archival, tenant, "boat") == ["a boat"]
    await embedder.close()


async def test_an_insert_whose_caller_left_is_brought_to_the_index(archival: Opened, tenant: Tenant) -> None:
    archival.index.gate.clear()
    inserting = asyncio.create_task(archival.store.insert(tenant, insert_request("a boat")))
    await archival.index.waiting.wait()
    inserting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await inserting
    assert await words(archival, tenant, "boat") == []
    archival.index.gate.set()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await archival.index.put_done.wait()
    assert await words(archival, tenant, "boat") == ["a boat"]


async def test_a_delete_that_overtakes_its_insert_wins(archival: Opened, tenant: Tenant) -> None:
    request = insert_request("a boat")
    request.passages[0].id = ids.new("passage")
    archival.index.gate.clear()
    inserting = asyncio.create_task(archival.store.insert(tenant, request))
    await archival.index.waiting.wait()
    await archival.store.delete_passage(tenant, request.passages[0].id, [], "")
    archival.index.gate.set()
    await inserting
    assert await words(archival, tenant, "boat") == []
    await until_indexed(archival, 0)


async def test_a_delete_is_answered_when_the_index_has_forgotten(tmp_path: Path, endpoint: EmbeddingsServer) -> None:
    tenant, request = new_user().tenant, insert_request("a boat", "a train", "a bus")
    embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
    async with opened(tmp_path, embedder, settle_seconds=3600) as archival:  # the keeper does not help
        boat, *_ = await archival.store.insert(tenant, request)
        await archival.store.delete_passage(tenant, boat.id, [], "")
        assert await archival.index.count() == 2
        await archival.store.delete_archive(tenant, request.archive_id, "")
        assert await archival.index.count() == 0
    await embedder.close()


async def test_a_passage_that_the_index_could_not_forget_is_not_found(archival: Opened, tenant: Tenant) -> None:
    boat, harbour = await archival.store.insert(tenant, insert_request("a boat", "a boat in the harbour"))
    archival.index.failing = True
    with pytest.raises(Unavailable):
        await archival.store.delete_passage(tenant, boat.id, [], "")
    assert await words(archival, tenant, "boat") == [harbour.text]
    archival.index.failing = False
    await until_indexed(archival, 1)
