"""How much of the evidence for an answer recall finds: turn-level recall@10, through a running recall_service.

python -m benchmarks.retrieval --data locomo.json.gz [--data longmemeval.json.gz] [--ablate]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, quantiles

from benchmarks.conversations import Conversation, read
from benchmarks.recall_process import Recall, embedded, recall_service

_LIMIT = 10
_NO_QUESTIONS = ("QUESTION_BOOST=1", "ANSWER_WEIGHT=0")
_NOBODY = ("SPEAKER_BOOST=1", "USER_BOOST=1")
_ABLATIONS = {
    "all parts": (),
    "no meaning": ("SEMANTIC_WEIGHT=0",),
    "no likeness of words": ("LIKENESS_WEIGHT=0",),
    "no neighbours": ("NEIGHBOUR_WEIGHT=0",),
    "no named speaker": ("SPEAKER_BOOST=1",),
    "no user before assistant": ("USER_BOOST=1",),
    "questions as anything else": _NO_QUESTIONS,
    "words and meaning alone": ("LIKENESS_WEIGHT=0", "NEIGHBOUR_WEIGHT=0", *_NO_QUESTIONS, *_NOBODY),
}


@dataclass
class Result:
    """Each question's share of evidence among the first ten, by category; and how long searches took."""

    shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    milliseconds: list[float] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A table: category, questions, recall@10 in per cent, of which the last is over all questions."""
        everything = [share for shares in self.shares.values() for share in shares]
        rows = [*sorted(self.shares.items()), ("all", everything)]
        return [f"  {category:28s}{len(shares):6d}{100 * mean(shares):8.1f}" for category, shares in rows]

    @property
    def p95(self) -> float:
        return quantiles(self.milliseconds, n=20)[-1] if len(self.milliseconds) > 1 else self.milliseconds[0]


async def ask(recall: Recall, conversations: list[Conversation]) -> Result:
    """Asks every question once, one after the other."""
    result = Result()
    for conversation in conversations:
        for question in conversation.questions:
            begun = time.perf_counter()
            found = await recall.search(conversation, question.text, _LIMIT)
            result.milliseconds.append(1000 * (time.perf_counter() - begun))
            result.shares[question.category].append(len(question.evidence & set(found)) / len(question.evidence))
    return result


async def measure(path: Path, *, ablate: bool) -> None:
    """Prints the tables of one data set."""
    conversations = read(path)
    turns = sum(len(each.messages) for each in conversations)
    print(f"{path.name}: {len(conversations)} conversations, {turns} turns; questions and recall@{_LIMIT}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        async with recall_service(folder) as recall:
            for conversation in conversations:
                await recall.append(conversation)
            await embedded(folder)
        for name, changes in _ABLATIONS.items() if ablate else [("all parts", ())]:
            async with recall_service(folder, changes) as recall:
                result = await ask(recall, conversations)
            print(f" {name} (a search: p95 {result.p95:.1f} ms)", *result.lines(), sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="a file of LoCoMo or LongMemEval")
    parser.add_argument("--ablate", action="store_true", help="also without each part of the score")
    arguments = parser.parse_args()
    for path in arguments.data:
        asyncio.run(measure(path, ablate=arguments.ablate))


if __name__ == "__main__":
    main()
