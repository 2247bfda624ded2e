"""Whether it helps to lift messages of sessions that have good hits, on top of the ranking as it is. In this process.

python -m benchmarks.session_scores --data locomo.json.gz --data longmemeval.json.gz
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.conversations import read
from benchmarks.cross_validation import Asked, ask
from embedders.sentence import SentenceEmbedder
from recall_service import ranking
from recall_service.places import Places
from recall_service.ranking import Column, Hits, Surroundings
from recall_service.stores import open_store

# What a session's score is: the sum of so many of its best hits', divided by the best session's; and its weights.
_BEST = (1, 3, 8)
_WEIGHTS = (0.1, 0.25, 0.5)


class WithSessions(Surroundings):
    weight, best = 0.0, 1

    def __init__(self, places: Places, query: str) -> None:
        super().__init__(places, query)
        self._sessions = _sessions(places)

    def ranked(self, hits: Hits, most: int | None = None) -> Hits:
        beside, sessions = self._beside(hits["score"]), self._of_sessions(hits["score"])
        lifted = self._boosts * (hits["score"] + ranking.NEIGHBOUR_WEIGHT * beside + self.weight * sessions)
        return hits.replaced(score=lifted).taken(np.lexsort((-hits.n, -lifted))[:most])

    def _of_sessions(self, scores: Column) -> Column:
        """Each hit's session's score, 0 to 1."""
        order = np.lexsort((-scores, self._sessions))
        ordered = self._sessions[order]
        rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        sums = np.bincount(ordered, weights=np.where(rank < self.best, scores[order], 0.0))
        found: Column = (sums / max(sums.max(), 1e-9))[self._sessions]
        return found


def _sessions(places: Places) -> NDArray[np.intp]:
    """A number for each hit, the same in one session: what a longer pause does not part."""
    order = np.lexsort((places.sequence, places.conversation))
    conversations, times = places.conversation[order], places.created_at[order]
    begins = (np.diff(conversations) != 0) | (np.abs(np.diff(times)) > ranking.SESSION_GAP_MICROSECONDS)
    sessions = np.empty(len(order), dtype=np.intp)
    sessions[order] = np.concatenate([[0], np.cumsum(begins)])
    return sessions


def row(name: str, sets: Sequence[Sequence[Asked]]) -> str:
    """recall@10 of each set in per cent; of LoCoMo by category too."""
    cells = []
    for asked in sets:
        shares = np.array([each.share() for each in asked])
        cells.append(f"all {100 * shares.mean():.1f} of {len(shares)}")
        categories = np.array([each.question.category for each in asked])
        if len(set(categories)) <= 4:
            cells += [f"{each} {100 * shares[categories == each].mean():.1f}" for each in sorted(set(categories))]
    return f"{name:24s}{'   '.join(cells)}"


async def main(paths: Sequence[Path]) -> None:
    embedder = SentenceEmbedder()
    sets = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/recall.db")
        for path in paths:
            sets.append([asked for each in read(path) for asked in await ask(store, embedder, each)])
        await store.close()
    ranking.Surroundings = WithSessions  # type: ignore[misc]
    print(row("without", sets))
    for WithSessions.best in _BEST:
        for WithSessions.weight in _WEIGHTS:
            print(row(f"best {WithSessions.best}, weight {WithSessions.weight:g}", sets), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="a file of LoCoMo or LongMemEval")
    threadpool_limits(limits=1, user_api="blas")
    asyncio.run(main(parser.parse_args().data))
