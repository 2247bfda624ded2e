"""How recall compares words one by one, with the bundled vectors."""

from __future__ import annotations

import numpy as np
import pytest

from embedders.wordllama import WordLlamaEmbedder
from recall_service.likeness import WordVectors, likeness


@pytest.fixture(scope="module")
def vectors() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


def test_the_bundled_embedder_gives_words_of_length_one_and_the_same_again(vectors: WordLlamaEmbedder) -> None:
    assert isinstance(vectors, WordVectors)
    first = vectors.words(["boat", "ship", "boat"])
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(vectors.words(["ship"])[0], first[1])
    assert vectors.words([]).shape == (0, WordLlamaEmbedder.dimensions)


def test_another_word_for_the_same_is_found(vectors: WordLlamaEmbedder) -> None:
    texts = {1: "My wife bought a car", 2: "The moon is made of stone", 3: "I had soup for lunch", 4: "Trees are green"}
    scores = likeness(["spouse"], texts, vectors)
    assert max(scores, key=lambda n: scores[n]) == 1


def test_a_word_that_few_have_weighs_more_than_one_that_most_have(vectors: WordLlamaEmbedder) -> None:
    texts = {1: "garden", 2: "garden", 3: "garden", 4: "violin", 5: "mountain"}
    scores = likeness(["garden", "violin"], texts, vectors)
    assert scores[4] > scores[1]


def test_texts_without_words_score_nothing(vectors: WordLlamaEmbedder) -> None:
    assert likeness(["garden"], {1: "", 2: "😀 !"}, vectors) == {1: 0, 2: 0}
    assert likeness([], {1: "garden"}, vectors) == {1: 0}
    assert likeness(["garden"], {}, vectors) == {}
    assert likeness(["garden"], {1: "", 2: "garden"}, vectors)[1] == 0


def test_only_the_beginning_of_a_giant_message_is_compared(vectors: WordLlamaEmbedder) -> None:
    scores = likeness(["violin"], {1: "x " * 1_000_000 + "violin", 2: "violin", 3: "moon"}, vectors)
    assert scores[2] > scores[1]
