"""Where, when and by whom messages were said, as columns: a search looks at hundreds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recall_service.questions import Asks
from triptych.type.v1 import type_pb2


class Place(NamedTuple):
    """Of a message. Times are microseconds since 1970; `name` is empty if the speaker has none."""

    n: int
    conversation_id: str
    sequence: int
    name: str = ""
    role: int = type_pb2.ROLE_UNSPECIFIED
    created_at: int = 0
    asks: int = Asks.NOTHING


@dataclass(frozen=True)
class Places:
    """One row a message, by rising `n`. `conversation`: the same number for the same one; `asks`: `Asks`;
    `speaker`: into `speakers`, which are a name and a role each."""

    n: NDArray[np.int64]
    conversation: NDArray[np.integer]
    sequence: NDArray[np.int64]
    created_at: NDArray[np.int64]
    asks: NDArray[np.integer]
    speaker: NDArray[np.integer]
    speakers: Sequence[tuple[str, int]]

    @classmethod
    def of(cls, places: Iterable[Place]) -> Places:
        """Of different messages, in any order."""
        rows = sorted(places)
        conversations: dict[str, int] = {}
        speakers: dict[tuple[str, int], int] = {}
        return cls(
            n=np.array([row.n for row in rows], dtype=np.int64),
            conversation=np.array(
                [conversations.setdefault(row.conversation_id, len(conversations)) for row in rows], dtype=np.int64
            ),
            sequence=np.array([row.sequence for row in rows], dtype=np.int64),
            created_at=np.array([row.created_at for row in rows], dtype=np.int64),
            asks=np.array([row.asks for row in rows], dtype=np.int8),
            speaker=np.array(
                [speakers.setdefault((row.name, row.role), len(speakers)) for row in rows], dtype=np.int64
            ),
            speakers=list(speakers),
        )

    def __len__(self) -> int:
        return len(self.n)
