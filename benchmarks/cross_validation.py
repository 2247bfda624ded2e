"""How much the ranking's weights owe to the conversations that they were chosen on.

Each conversation is searched with the weights of a grid that do best on all the others, of both sets; what is then
found of its own evidence is what to expect of conversations that nobody has seen. In this process, without a service.

python -m benchmarks.cross_validation --data locomo.json.gz --data longmemeval.json.gz
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.conversations import Conversation, Question, read
from embedders import Vectors, open_word_vectors
from embedders.sentence import SentenceEmbedder
from recall_service import ranking, search
from recall_service.likeness import content_words, likeness
from recall_service.places import Places
from recall_service.store import Filters, Found, RecallStore, Scope, Snapshot
from recall_service.stores import open_store
from servicekit.principal import Tenant
from triptych.recall.v1 import recall_pb2 as pb

_LIMIT = 10
_BATCH = 200
_GRID = {
    "SEMANTIC_WEIGHT": (0.25, 0.4, 0.55),
    "LIKENESS_WEIGHT": (0.3, 0.5, 0.8),
    "NEIGHBOUR_WEIGHT": (0.25, 0.4, 0.55),
    "SPEAKER_BOOST": (1.4, 1.8, 2.2),
    "QUESTION_BOOST": (0.8, 1.0),
    "ANSWER_WEIGHT": (0.0, 0.3),
}
Weights = tuple[float, ...]
_CHOSEN: Weights = tuple(float(getattr(ranking, name)) for name in _GRID)


@dataclass(frozen=True)
class Asked:
    """A question, and what both sides find before anything is weighed. `ids`: the messages' own, by number."""

    question: Question
    words: list[Found]
    meaning: list[Found]
    places: Places
    texts: Mapping[int, str]
    ids: Mapping[int, str]
    _alike: dict[tuple[int, ...], dict[int, float]] = field(default_factory=dict)

    def share(self) -> float:
        """Of its evidence, how much is among the first ten, with the weights that `ranking` has now."""
        fused = ranking.fuse(self.words, self.meaning)
        around = ranking.Surroundings(self.places, self.question.text)
        compared = around.ranked(fused, search._COMPARED)
        numbers = tuple(sorted(compared.n.tolist()))
        if numbers not in self._alike:
            texts = {n: self.texts[n] for n in numbers}
            self._alike[numbers] = likeness(content_words(self.question.text), texts, _word_vectors)
        best = around.ranked(ranking.with_likeness(fused, self._alike[numbers]), _LIMIT)
        return len(self.question.evidence & {self.ids[n] for n in best.n.tolist()}) / len(self.question.evidence)


_word_vectors = open_word_vectors()


async def ask(store: RecallStore, embedder: SentenceEmbedder, conversation: Conversation) -> list[Asked]:
    """Keeps the conversation as one user's, and asks its questions."""
    user, filters = Tenant("benchmark", conversation.name), Filters(Scope("agent"))
    for first in range(0, len(conversation.messages), _BATCH):
        part = conversation.messages[first : first + _BATCH]
        request = pb.AppendMessagesRequest(
            agent_id="agent", conversation_id="conversation", request_id=str(uuid.uuid4()), messages=part
        )
        await store.append(user, request)
    while waiting := await store.waiting(_BATCH):
        await store.put_vectors(waiting, await embedder.embed([each.text for each in waiting]))
    asked = []
    for question in conversation.questions:
        (vector,) = await embedder.embed([question.text])

        def look(seen: Snapshot, question: Question = question, vector: Vectors = vector) -> Asked:
            words = seen.find_words(question.text, filters, search._CANDIDATES)
            meaning = seen.find_meaning(vector, filters, search._CANDIDATES)
            numbers = list({each.n for each in (*words, *meaning)})
            messages = seen.numbered(numbers)
            texts = {n: message.text for n, message in messages.items()}
            ids = {n: message.id for n, message in messages.items()}
            return Asked(question, words, meaning, seen.places(numbers, filters.scope), texts, ids)

        asked.append(await store.look(user, look, await store.near(user, filters.scope)))
    return asked


def measure(groups: Sequence[Sequence[Asked]]) -> dict[Weights, list[NDArray[np.float64]]]:
    """For each of the grid's weights each group's shares, a number a question."""
    shares = {}
    for weights in sorted({*itertools.product(*_GRID.values()), _CHOSEN}):
        for name, value in zip(_GRID, weights, strict=True):
            setattr(ranking, name, value)
        shares[weights] = [np.array([asked.share() for asked in group]) for group in groups]
    return shares


def left_out(shares: Mapping[Weights, list[NDArray[np.float64]]], sets: Sequence[int]) -> list[NDArray[np.float64]]:
    """Each group's shares with the weights that do best on the others. `sets`: each group's data set.

    Both sets count the same, however many questions they have.
    """
    found = []
    for group in range(len(sets)):

        def elsewhere(weights: Weights, group: int = group) -> float:
            means = []
            for number in sorted(set(sets)):
                others = [shares[weights][at] for at in range(len(sets)) if at != group and sets[at] == number]
                means.append(np.concatenate(others).mean())
            return float(np.mean(means))

        best = max(shares, key=elsewhere)
        print(f"  without group {group}: {', '.join(f'{weight:g}' for weight in best)}")
        found.append(shares[best][group])
    return found


async def main(paths: Sequence[Path]) -> None:
    sets = [read(path) for path in paths]
    embedder = SentenceEmbedder()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/recall.db")
        groups = [await ask(store, embedder, conversation) for conversations in sets for conversation in conversations]
        await store.close()
    of = [number for number, conversations in enumerate(sets) for _ in conversations]
    shares = measure(groups)
    print(f"weights: {', '.join(_GRID)}; {len(shares)} of them")
    apart = left_out(shares, of)
    for number, path in enumerate(paths):
        print(path.name)
        mine = [at for at in range(len(of)) if of[at] == number]
        everything = {weights: np.concatenate([found[at] for at in mine]).mean() for weights, found in shares.items()}
        rows = {
            "the weights as they are": everything[_CHOSEN],
            "each conversation with weights chosen on the others": np.concatenate([apart[at] for at in mine]).mean(),
            "the best of the grid for this set": max(everything.values()),
            "the worst": min(everything.values()),
        }
        for name, value in rows.items():
            print(f"  {name:55s}{100 * value:6.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="a file of LoCoMo or LongMemEval")
    threadpool_limits(limits=1, user_api="blas")
    asyncio.run(main(parser.parse_args().data))
