"""Another embedder for passages that are there: searches all the while, and nothing is embedded twice for a kill."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

import pytest

from archival_service import claiming
from archival_service.reembedding import Reembedder
from archival_service.store import Filters, Query
from archival_service.stores import awaiting
from embedders.openai import OpenAIEmbedder
from embedders.wordllama import WordLlamaEmbedder
from servicekit.channel import Peer
from servicekit.principal import Principal, Tenant
from tests.support.archival import Client, Opened, environment, insert_request, opened
from tests.support.embeddings import DIMENSIONS, EmbeddingsServer, serving, vectors
from tests.support.keys import new_user, signer
from tests.support.processes import run, running
from triptych.archival.v1.archival_pb2_grpc import ArchivalServiceStub
from triptych.type.v1 import type_pb2

_PATIENCE_SECONDS = 60
_BATCH = 64
TEXTS = [f"boat number {number}" for number in range(100)]


async def insert(folder: Path, tenant: Tenant, *texts: str) -> None:
    async with opened(folder, WordLlamaEmbedder()) as archival:
        await archival.store.insert(tenant, insert_request(*texts))


def other_embedder(folder: Path, endpoint: EmbeddingsServer) -> dict[str, str]:
    return environment(
        folder,
        TRIPTYCH_EMBEDDER="openai",
        TRIPTYCH_EMBEDDER_BASE_URL=endpoint.base_url,
        TRIPTYCH_EMBEDDER_MODEL="m",
        TRIPTYCH_EMBEDDER_DIMENSIONS=str(DIMENSIONS),
    )


async def found(archival: Opened, tenant: Tenant, mode: type_pb2.SearchMode.ValueType) -> set[str]:
    hits = await archival.store.search(tenant, Query("boat", mode), Filters(), 200)
    return {hit.passage.text for hit in hits}


async def test_a_service_killed_while_it_embeds_anew_goes_on_where_it_was_and_is_searched_all_the_while(
    tmp_path: Path,
) -> None:
    gateway, ann = signer(tmp_path), new_user()
    await insert(tmp_path, ann.tenant, *TEXTS)
    stuck, go_on = threading.Event(), threading.Event()

    def stick_after_one_batch(texts: list[str]) -> tuple[int, bytes]:
        if TEXTS[_BATCH] in texts:
            stuck.set()
            go_on.wait(_PATIENCE_SECONDS)
        return vectors(texts)

    with serving() as endpoint:
        endpoint.always = stick_after_one_batch
        environ = other_embedder(tmp_path, endpoint)
        try:
            with running("archival_service", environ) as service:
                peer = Peer("archival_service", service.grpc, gateway)
                client = Client(peer, ArchivalServiceStub(peer.channel))
                assert await asyncio.to_thread(stuck.wait, _PATIENCE_SECONDS)
                for mode in (type_pb2.SEARCH_MODE_LEXICAL, type_pb2.SEARCH_MODE_HYBRID):
                    assert set(await client.search(ann, "boat", mode=mode, limit=100)) == set(TEXTS)
                await client.insert(ann, "a boat of meanwhile")
                service.kill()
                await peer.close()
        finally:
            go_on.set()
        with running("archival_service", environ) as service:
            peer = Peer("archival_service", service.grpc, gateway)
            client = Client(peer, ArchivalServiceStub(peer.channel))
            await until_found_by_meaning(client, ann, {*TEXTS, "a boat of meanwhile"})
            await peer.close()
    times = Counter(text for body in endpoint.asked for text in body["input"])
    assert {times[text] for text in TEXTS[:_BATCH]} == {1}
    assert {times[text] for text in TEXTS[_BATCH:]} == {2}  # the batch that was cut
    assert times["a boat of meanwhile"] == 1


async def until_found_by_meaning(client: Client, caller: Principal, texts: set[str]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            by_length = [
                await client.search(caller, "x" * length, mode=type_pb2.SEARCH_MODE_SEMANTIC, limit=100)
                for length in range(4, 4 + DIMENSIONS)
            ]
            if {text for hits in by_length for text in hits} >= texts:
                return
            await asyncio.sleep(0.05)


async def test_an_endpoint_that_dies_on_the_way_delays_and_fails_no_search(tmp_path: Path) -> None:
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *TEXTS)
    with serving() as endpoint:
        embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
        endpoint.answers = [vectors, vectors, *[lambda _: (401, b"")] * 3]  # the trial, a batch, an outage
        async with opened(tmp_path, embedder) as archival:
            assert await found(archival, tenant, type_pb2.SEARCH_MODE_LEXICAL) == set(TEXTS)
            work = Reembedder(archival.sql, archival.index, embedder, archival.keeper, retry_seconds=0.01)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await work.finished()
            assert not endpoint.answers
            endpoint.always = lambda _: (401, b"")
            assert await found(archival, tenant, type_pb2.SEARCH_MODE_HYBRID) == set(TEXTS)
            await work.close()
        await embedder.close()


async def test_of_two_replicas_one_embeds_and_nothing_is_embedded_twice(tmp_path: Path) -> None:
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *TEXTS)
    with serving() as endpoint:
        embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
        async with opened(tmp_path, embedder) as archival:
            both = [Reembedder(archival.sql, archival.index, embedder, archival.keeper) for _ in range(2)]
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await asyncio.gather(*(each.finished() for each in both))
            assert await archival.sql.read(awaiting.count) == 0
        await embedder.close()
    times = Counter(text for body in endpoint.asked for text in body["input"])
    assert {times[text] for text in TEXTS} == {1}


async def test_a_replica_goes_on_with_what_a_dead_one_had_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CLAIM_SECONDS", 5.0)
    monkeypatch.setattr(claiming, "POLL_SECONDS", 0.05)
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *TEXTS)
    with serving() as endpoint:
        embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
        async with opened(tmp_path, embedder) as archival:
            assert await claiming.claim(archival.sql, "reembedding-until")
            assert not await claiming.claim(archival.sql, "reembedding-until")
            work = Reembedder(archival.sql, archival.index, embedder, archival.keeper)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await work.finished()
            assert await archival.sql.read(awaiting.count) == 0
        await embedder.close()


async def test_a_passage_that_the_embedder_fails_on_holds_up_no_other_and_is_found_by_its_words(tmp_path: Path) -> None:
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *TEXTS)
    with serving() as endpoint:
        endpoint.always = lambda texts: (401, b"") if TEXTS[77] in texts else vectors(texts)
        embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
        async with opened(tmp_path, embedder) as archival:
            work = Reembedder(archival.sql, archival.index, embedder, archival.keeper)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await work.finished()
            assert await archival.sql.read(awaiting.count) == 0
            await archival.index.built()
            assert await found(archival, tenant, type_pb2.SEARCH_MODE_LEXICAL) == set(TEXTS)
            # The endpoint's vectors say how long a text is.
            alike = Query("x" * len(TEXTS[77]), type_pb2.SEARCH_MODE_SEMANTIC)
            hits = await archival.store.search(tenant, alike, Filters(), 200)
            assert {hit.passage.text for hit in hits} >= set(TEXTS[10:]) - {TEXTS[77]}
        await embedder.close()


async def test_an_embedder_that_gives_nothing_does_not_cost_the_old_vectors(tmp_path: Path) -> None:
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *TEXTS)
    with serving() as endpoint:
        endpoint.always = lambda _: (401, b"")
        refused = run("archival_service", environ=other_embedder(tmp_path, endpoint))
    assert refused.returncode == 2
    assert "go back to that one" in refused.stderr
    async with opened(tmp_path, WordLlamaEmbedder()) as archival:
        assert await found(archival, tenant, type_pb2.SEARCH_MODE_SEMANTIC) == set(TEXTS)


async def test_the_command_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    tenant = new_user().tenant
    await insert(tmp_path, tenant, *TEXTS)
    with serving() as endpoint:
        environ = other_embedder(tmp_path, endpoint)
        endpoint.answers, endpoint.always = [vectors, vectors], lambda _: (401, b"")
        cut = run("archival_service", "reembed", environ=environ)
        endpoint.always = vectors
        assert cut.returncode == 2
        assert "after 64 of 100 passages" in cut.stderr
        done = run("archival_service", "reembed", environ=environ)
        assert done.returncode == 0, done.stderr
        assert '"passages":36' in done.stderr
        embedder = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
        async with opened(tmp_path, embedder) as archival:
            await archival.index.built()
            assert await archival.index.count() == len(TEXTS)
        await embedder.close()
