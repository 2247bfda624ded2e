"""The worker that embeds behind the append, against a real endpoint and a real store."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from embedders import Vectors
from embedders.openai import OpenAIEmbedder
from embedders.wordllama import WordLlamaEmbedder
from recall_service import embedding, search
from recall_service.embedding import EmbeddingWorker
from recall_service.postponed import Postponed
from recall_service.search import Searcher
from recall_service.store import Filters, RecallStore, Waiting
from recall_service.stores import open_store
from servicekit.principal import Tenant
from tests.support.embeddings import DIMENSIONS, EmbeddingsServer, serving, vectors
from tests.support.recall import batch, eventually, find_meaning, find_words, numbered, said
from triptych.errors import Unavailable
from triptych.type.v1 import type_pb2

ANN, BOB = Tenant("account", "ann"), Tenant("account", "bob")
_EVERYWHERE = np.ones(DIMENSIONS, dtype=np.float32)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RecallStore]:
    opened = open_store(f"sqlite:///{tmp_path}/recall.db")
    yield opened
    await opened.close()


@pytest.fixture
def endpoint() -> Iterator[EmbeddingsServer]:
    with serving() as server:
        yield server


@pytest.fixture
async def embedder(endpoint: EmbeddingsServer) -> AsyncIterator[OpenAIEmbedder]:
    opened = OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS)
    yield opened
    await opened.close()


@pytest.fixture
async def worker(store: RecallStore, embedder: OpenAIEmbedder) -> AsyncIterator[EmbeddingWorker]:
    made = EmbeddingWorker(store, embedder, retry_seconds=0.01)
    yield made
    await made.close()


async def _all_embedded(store: RecallStore) -> None:
    await eventually(lambda: store.waiting(1), lambda waiting: not waiting)


async def test_what_an_earlier_process_left_is_embedded_at_the_start(
    store: RecallStore, worker: EmbeddingWorker
) -> None:
    await store.append(ANN, batch(*(str(number) for number in range(150))))
    worker.start()
    await _all_embedded(store)
    assert len(await find_meaning(store, ANN, _EVERYWHERE, Filters(), 1_000)) == 150


class _HereEmbedder(WordLlamaEmbedder):
    """As it embeds, more is appended."""

    worker: EmbeddingWorker

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.worker.wake()
        return await super().embed(texts)


async def test_the_embedder_stands_back_for_who_appends_but_not_for_ever(
    store: RecallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_RESTS", 1e6)
    embedder = _HereEmbedder()
    embedder.worker = EmbeddingWorker(store, embedder)
    await store.append(ANN, batch(*(str(number) for number in range(150))))
    embedder.worker.start()
    await eventually(lambda: store.waiting(150), lambda waiting: len(waiting) == 150 - embedding._BATCH)
    await embedder.worker.close()
    # It would rest for days; but these have waited long enough.
    monkeypatch.setattr(embedding, "_PATIENT_SECONDS", 0.0)
    embedder.worker.start()
    await _all_embedded(store)
    await embedder.worker.close()


async def test_what_comes_without_a_word_is_found_by_looking_now_and_then(
    store: RecallStore, embedder: OpenAIEmbedder
) -> None:
    worker = EmbeddingWorker(store, embedder, look_seconds=0.01)
    worker.start()
    await _all_embedded(store)
    await store.append(ANN, batch("left by another"))
    await _all_embedded(store)
    await worker.close()


async def test_an_outage_delays_and_loses_nothing(
    store: RecallStore, worker: EmbeddingWorker, endpoint: EmbeddingsServer
) -> None:
    endpoint.answers = [lambda _: (401, b"")] * 4
    await store.append(ANN, batch("one"))
    worker.start()
    await _all_embedded(store)
    assert len(endpoint.asked) == 5, "twice with the message and a question whether anybody is there, and once more"
    assert len(await find_meaning(store, ANN, _EVERYWHERE, Filters(), 10)) == 1


async def test_a_message_that_the_embedder_fails_on_holds_up_no_other_and_is_tried_again(
    store: RecallStore, worker: EmbeddingWorker, endpoint: EmbeddingsServer
) -> None:
    endpoint.always = lambda asked: (401, b"") if "poison" in str(asked) else vectors(asked)
    await store.append(ANN, batch("one", "poison", *map(str, range(70)), "another poison"))
    await store.append(BOB, batch("two"))
    worker.start()
    waiting = await eventually(lambda: store.waiting(100), lambda waiting: len(waiting) == 2)
    assert [each.text for each in waiting] == ["user: poison", "user: another poison"]
    assert len(await find_meaning(store, BOB, _EVERYWHERE, Filters(), 10)) == 1
    await store.append(BOB, batch("three", conversation="conv-2"))
    worker.wake()
    await eventually(lambda: store.waiting(100), lambda waiting: len(waiting) == 2)
    endpoint.always = vectors
    await _all_embedded(store)
    assert len(await find_meaning(store, ANN, _EVERYWHERE, Filters(), 100)) == 73


def test_what_was_postponed_comes_later_and_later_and_is_forgotten_when_it_is_gone() -> None:
    now = [0.0]
    postponed = Postponed(5.0, lambda: now[0])
    waits = [Waiting(n, ANN, "agent-1", 1, "x", 0) for n in range(2)]
    assert (postponed.soonest(), len(postponed)) == (float("inf"), 0)
    assert [postponed.add(each) for each in waits] == [5.0, 5.0]
    assert postponed.due(waits) == []
    now[0] = 5.0
    assert postponed.soonest() == 0.0
    assert postponed.due(waits) == waits
    assert postponed.add(waits[0]) == 10.0
    assert postponed.due(waits) == waits[1:]
    assert postponed.due(waits[:1]) == []
    assert (postponed.soonest(), len(postponed)) == (10.0, 1)
    for _ in range(20):
        longest = postponed.add(waits[0])
    assert longest == 6 * 3600.0
    postponed.forget(waits)
    assert len(postponed) == 0


async def test_what_is_appended_in_an_outage_does_not_have_the_embedder_tried_more_often(
    store: RecallStore, embedder: OpenAIEmbedder, endpoint: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_GATHER_SECONDS", 0.0)
    endpoint.always = lambda _: (401, b"")
    worker = EmbeddingWorker(store, embedder, retry_seconds=60)
    await store.append(ANN, batch("one"))
    worker.start()

    async def tries() -> int:
        return len(endpoint.asked)

    await eventually(tries, lambda asked: asked == 2)
    for _ in range(5):
        worker.wake()
        await asyncio.sleep(0.05)
    assert await tries() == 2
    await worker.close()


async def test_one_refused_message_does_not_hold_up_the_others(
    store: RecallStore, worker: EmbeddingWorker, endpoint: EmbeddingsServer
) -> None:
    endpoint.always = lambda texts: (400, b"") if "user: poison" in texts else vectors(texts)
    await store.append(ANN, batch("before", "poison", "after"))
    worker.start()
    await _all_embedded(store)
    found = await find_meaning(store, ANN, _EVERYWHERE, Filters(), 10)
    texts = {message.text for message in (await numbered(store, ANN, found)).values()}
    assert texts == {"before", "after"}
    assert len(await find_words(store, ANN, "poison", Filters(), 10)) == 1


async def test_without_its_embedder_a_hybrid_search_finds_by_words_and_a_semantic_one_says_so(
    store: RecallStore, embedder: OpenAIEmbedder, endpoint: EmbeddingsServer
) -> None:
    await store.append(ANN, batch("purple elephants"))
    endpoint.always = lambda _: (401, b"")
    searcher = Searcher(store, embedder)
    (hit,) = await searcher.search(ANN, "purple", type_pb2.SEARCH_MODE_HYBRID, Filters(), 10)
    assert (hit.message.text, hit.semantic) == ("purple elephants", 0)
    with pytest.raises(Unavailable):
        await searcher.search(ANN, "purple", type_pb2.SEARCH_MODE_SEMANTIC, Filters(), 10)


async def test_a_slow_embedder_does_not_hold_up_a_hybrid_search(
    store: RecallStore, embedder: OpenAIEmbedder, endpoint: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_PATIENCE_SECONDS", 0.05)
    await store.append(ANN, batch("purple elephants"))
    answered = threading.Event()

    def slow(texts: list[str]) -> tuple[int, bytes]:
        answered.wait(20)
        return vectors(texts)

    endpoint.always = slow
    (hit,) = await Searcher(store, embedder).search(ANN, "purple", type_pb2.SEARCH_MODE_HYBRID, Filters(), 10)
    assert (hit.message.text, hit.semantic, answered.is_set()) == ("purple elephants", 0, False)
    answered.set()


async def test_vectors_that_are_no_numbers_are_not_kept_and_the_messages_wait_for_better_ones(
    store: RecallStore, worker: EmbeddingWorker, endpoint: EmbeddingsServer
) -> None:
    endpoint.answers = [lambda texts: (200, vectors(texts)[1].replace(b"3.0", b"NaN"))]
    await store.append(ANN, batch("one", "two"))
    worker.start()
    await _all_embedded(store)
    assert len(endpoint.asked) > 1
    assert len(await find_meaning(store, ANN, _EVERYWHERE, Filters(), 10)) == 2


async def test_hybrid_finds_what_either_side_finds(
    store: RecallStore, embedder: OpenAIEmbedder, worker: EmbeddingWorker
) -> None:
    await store.append(ANN, batch("purple", "abcdef", "abc"))
    worker.start()
    await _all_embedded(store)
    searcher = Searcher(store, embedder)
    found: dict[int, set[str]] = {}
    for mode in (type_pb2.SEARCH_MODE_LEXICAL, type_pb2.SEARCH_MODE_SEMANTIC, type_pb2.SEARCH_MODE_HYBRID):
        # The endpoint's vectors point where a text's length modulo 4 says: this is as long as "user: abcdef" is.
        hits = await searcher.search(ANN, "purple ?!?!?", mode, Filters(), 10)
        found[mode] = {hit.message.text for hit in hits}
    assert list(found.values()) == [{"purple"}, {"purple", "abcdef"}, {"purple", "abcdef"}]


async def test_the_lag_says_how_many_wait_and_since_when(store: RecallStore, worker: EmbeddingWorker) -> None:
    before = time.time()
    await store.append(ANN, batch(said("of long ago", at=1_000_000_000), "two"))
    lag = await store.lag()
    assert lag.waiting == 2
    assert 0 <= lag.seconds(time.time()) <= time.time() - before + 0.001
    worker.start()
    await _all_embedded(store)
    lag = await store.lag()
    assert (lag.waiting, lag.seconds(time.time())) == (0, 0)
