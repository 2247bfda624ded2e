"""What became of a tool call."""

from __future__ import annotations

from dataclasses import dataclass

from agent_service import characters
from triptych.agent.v1.turn_pb2 import MemoryEdit

MAX_RESULT_CHARACTERS = 100_000


@dataclass(frozen=True)
class Outcome:
    """What the model is told, and the edit if a block was written."""

    text: str
    failed: bool = False
    edit: MemoryEdit | None = None


def failure(problem: object) -> Outcome:
    return Outcome(f"Error: {bounded(str(problem))}", failed=True)


def bounded(text: str, limit: int = 0) -> str:
    """At most `limit` characters (0, or more than 100,000: 100,000), and a word about the rest."""
    text = characters.whole(text)
    limit = min(limit or MAX_RESULT_CHARACTERS, MAX_RESULT_CHARACTERS)
    if len(text) <= limit:
        return text
    return text[:limit] + f"\n[cut at {limit:,} of {len(text):,} characters]"
