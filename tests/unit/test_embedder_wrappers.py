"""What stands between the services and a remote embedder: a cache, a breaker, a deadline, a rate; and the choice."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Iterator

import pytest

from embedders import EmbedderSettings, EmbedderUnavailable, open_embedder
from embedders.breaker import BreakingEmbedder
from embedders.cached import CachedEmbedder
from embedders.openai import OpenAIEmbedder
from tests.support.embeddings import DIMENSIONS, EmbeddingsServer, serving, vectors
from triptych.environment import BadEnvironment

_PATIENCE_SECONDS = 60
_VECTOR_BYTES = 4 * DIMENSIONS


@pytest.fixture
def endpoint() -> Iterator[EmbeddingsServer]:
    with serving() as server:
        yield server


def remote(endpoint: EmbeddingsServer, per_second: float = 0) -> OpenAIEmbedder:
    return OpenAIEmbedder(endpoint.base_url, "m", "", DIMENSIONS, per_second=per_second)


def sent(endpoint: EmbeddingsServer) -> list[list[str]]:
    return [body["input"] for body in endpoint.asked]


async def test_a_known_text_is_not_sent_again_and_its_row_is_the_same(endpoint: EmbeddingsServer) -> None:
    embedder = CachedEmbedder(remote(endpoint), 1_000)
    first = await embedder.embed(["a", "bb", "a"])
    again = await embedder.embed(["bb", "ccc", "a"])
    assert sent(endpoint) == [["a", "bb"], ["ccc"]]
    assert first[0].tolist() == first[2].tolist() == again[2].tolist() == [0, 1, 0, 0]
    assert (await embedder.embed([])).shape == (0, DIMENSIONS)
    await embedder.close()


async def test_the_cache_forgets_what_was_used_longest_ago(endpoint: EmbeddingsServer) -> None:
    embedder = CachedEmbedder(remote(endpoint), 2 * _VECTOR_BYTES)
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        await embedder.embed([text])
    assert sent(endpoint) == [["a"], ["bb"], ["ccc"], ["bb"]]
    await embedder.close()


async def test_callers_of_one_text_share_a_request_also_if_the_first_of_them_leaves(
    endpoint: EmbeddingsServer,
) -> None:
    came, go_on = threading.Event(), threading.Event()

    def held(texts: list[str]) -> tuple[int, bytes]:
        came.set()
        go_on.wait(_PATIENCE_SECONDS)
        return vectors(texts)

    endpoint.always = held
    embedder = CachedEmbedder(remote(endpoint), 1_000)
    first = asyncio.create_task(embedder.embed(["a"]))
    assert await asyncio.to_thread(came.wait, _PATIENCE_SECONDS)
    second = asyncio.create_task(embedder.embed(["a"]))
    await asyncio.sleep(0)
    first.cancel()
    go_on.set()
    assert (await second).any()
    assert sent(endpoint) == [["a"]]
    await embedder.close()


async def test_a_failure_is_not_kept(endpoint: EmbeddingsServer) -> None:
    endpoint.answers = [lambda _: (401, b"")]
    embedder = CachedEmbedder(remote(endpoint), 1_000)
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed(["a"])
    assert (await embedder.embed(["a"])).any()
    await embedder.close()


async def test_a_dead_endpoint_is_left_alone_and_tried_again_by_one_call_later(endpoint: EmbeddingsServer) -> None:
    endpoint.always = lambda _: (401, b"")
    embedder = BreakingEmbedder(remote(endpoint), deadline_seconds=10, failures=2, open_seconds=0.2)
    for _ in range(10):
        with pytest.raises(EmbedderUnavailable):
            await embedder.embed(["a"])
    assert len(endpoint.asked) == 2
    await asyncio.sleep(0.25)  # the promise is about time
    endpoint.always = vectors
    answers = await asyncio.gather(*(embedder.embed(["a"]) for _ in range(3)), return_exceptions=True)
    assert [isinstance(each, EmbedderUnavailable) for each in answers] == [False, True, True]
    assert (await embedder.embed(["a"])).any()
    await embedder.close()


@pytest.mark.parametrize("answer", [(400, b""), (200, b"no JSON"), (200, b'{"data": []}')])
async def test_a_refused_text_and_garbage_do_not_open_the_breaker(
    endpoint: EmbeddingsServer, answer: tuple[int, bytes]
) -> None:
    endpoint.answers = [lambda _: answer] * 3
    embedder = BreakingEmbedder(remote(endpoint), deadline_seconds=10, failures=1)
    for _ in range(3):
        with pytest.raises(EmbedderUnavailable):
            await embedder.embed(["a"])
    assert (await embedder.embed(["a"])).any()
    await embedder.close()


async def test_a_slow_endpoint_is_unavailable_at_the_deadline(endpoint: EmbeddingsServer) -> None:
    go_on = threading.Event()
    endpoint.always = lambda texts: (go_on.wait(_PATIENCE_SECONDS), vectors(texts))[1]
    embedder = BreakingEmbedder(remote(endpoint), deadline_seconds=0.1)
    with pytest.raises(EmbedderUnavailable, match=r"within 0\.1 s"):
        await embedder.embed(["a"])
    go_on.set()
    await embedder.close()


async def test_what_retry_after_says_is_waited_for(endpoint: EmbeddingsServer) -> None:
    endpoint.answers, endpoint.headers = [lambda _: (429, b"")], {"retry-after": "1"}
    embedder, begun = remote(endpoint), time.monotonic()
    assert (await embedder.embed(["a"])).any()
    assert time.monotonic() - begun >= 1
    await embedder.close()


async def test_requests_keep_to_the_rate(endpoint: EmbeddingsServer) -> None:
    embedder, begun = remote(endpoint, per_second=20), time.monotonic()
    await asyncio.gather(*(embedder.embed(["a"]) for _ in range(7)))
    assert time.monotonic() - begun >= 0.29
    await embedder.close()


def test_a_tier_may_have_an_embedder_of_its_own_and_takes_nothing_of_the_common_one() -> None:
    common = {
        "TRIPTYCH_EMBEDDER": "openai",
        "TRIPTYCH_EMBEDDER_BASE_URL": "http://127.0.0.1:1/v1",
        "TRIPTYCH_EMBEDDER_MODEL": "m",
        "TRIPTYCH_EMBEDDER_DIMENSIONS": "4",
        "TRIPTYCH_EMBEDDER_API_KEY": "sesame",
    }
    both = {**common, "TRIPTYCH_RECALL_EMBEDDER": "bundled"}
    assert EmbedderSettings.read(both, "RECALL").kind == "use"
    assert EmbedderSettings.read(both, "RECALL").api_key == ""
    assert EmbedderSettings.read(both, "ARCHIVAL").api_key == "sesame"
    with pytest.raises(BadEnvironment, match="TRIPTYCH_ARCHIVAL_EMBEDDER_BASE_URL"):
        EmbedderSettings.read({**common, "TRIPTYCH_ARCHIVAL_EMBEDDER": "openai"}, "ARCHIVAL")
    with pytest.raises(BadEnvironment, match="TRIPTYCH_RECALL_EMBEDDER_MODEL is set"):
        EmbedderSettings.read({**common, "TRIPTYCH_RECALL_EMBEDDER_MODEL": "m"}, "RECALL")


@pytest.mark.skipif(importlib.util.find_spec("fastembed") is not None, reason="fastembed is installed here")
def test_without_fastembed_the_error_says_what_to_install() -> None:
    settings = EmbedderSettings.read({"TRIPTYCH_EMBEDDER": "fastembed", "TRIPTYCH_EMBEDDER_MODEL": "some/model"})
    with pytest.raises(BadEnvironment, match=r"pip install 'triptych\[fastembed\]'"):
        open_embedder(settings)
