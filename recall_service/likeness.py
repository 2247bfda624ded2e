"""How alike a query's words and a message's are: "spouse" finds "wife" where no stem does.

Each word of the query looks for the most similar word of the message (late interaction, as in ColBERT, with static
vectors), and weighs the more the fewer of the candidates have anything like it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from embedders import Vectors
from recall_service.stop_words import STOP_WORDS

_WORD = re.compile(r"\w+")
_MOST_WORDS = 32
# Of a long message only so much is compared; it bounds the time of a search.
_MOST_CHARACTERS = 800
# Unrelated words have a cosine of up to about this.
_NOISE = 0.2
# A word that all candidates have still says a little.
_LEAST_WEIGHT = 0.1


@runtime_checkable
class WordVectors(Protocol):
    def words(self, words: Sequence[str]) -> Vectors:
        """One row a word: length 1, or zeros for a word that it does not know."""
        ...


def content_words(query: str) -> list[str]:
    """The query's words without those that say nothing; all of them if nothing is left."""
    words = list(dict.fromkeys(_WORD.findall(query.lower())))
    return ([word for word in words if word not in STOP_WORDS] or words)[:_MOST_WORDS]


def likeness(words: Sequence[str], texts: Mapping[int, str], vectors: WordVectors) -> dict[int, float]:
    """A score for each of `texts`, zero or more. `words`: the query's."""
    spoken = {n: _spoken(text) for n, text in texts.items()}
    everything = list(chain.from_iterable(spoken.values()))
    if not everything or not words:
        return dict.fromkeys(texts, 0.0)
    # Half of the words are another message's too.
    columns = {word: column for column, word in enumerate(dict.fromkeys(everything))}
    alike = _alike(vectors.words(words), vectors.words(list(columns)))
    each = alike[:, [columns[word] for word in everything]]
    nearest = _nearest(each, list(map(len, spoken.values())))
    scores = nearest @ _weights(nearest)
    return dict(zip(spoken, scores.tolist(), strict=True))


def _spoken(text: str) -> set[str]:
    return set(_WORD.findall(text[:_MOST_CHARACTERS].lower())) - STOP_WORDS


def _alike(query: Vectors, spoken: Vectors) -> NDArray[np.float32]:
    """Shape (words of the query, words spoken), 0 to 1: squared, as a near match says far more than a vague one."""
    above: NDArray[np.float32] = np.clip((query @ spoken.T - _NOISE) / (1 - _NOISE), 0, 1)
    return above * above


def _nearest(alike: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float64]:
    """For each text the best of its words for each of the query's: shape (texts, words of the query).

    `alike`: the texts' words behind each other; `lengths`: how many each has.
    """
    nearest = np.zeros((len(lengths), len(alike)))
    spoken = np.flatnonzero(lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])[spoken]
    nearest[spoken] = np.maximum.reduceat(alike, starts, axis=1).T
    return nearest


def _weights(nearest: NDArray[np.float64]) -> NDArray[np.float64]:
    """BM25's inverse document frequency, with a likeness counting as part of a document."""
    count, having = len(nearest), nearest.sum(axis=0)
    weights: NDArray[np.float64] = np.maximum(np.log((count - having + 0.5) / (having + 0.5)), _LEAST_WEIGHT)
    return weights
