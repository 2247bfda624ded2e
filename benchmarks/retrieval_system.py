"""Recall for evaluations that know of turns and nothing else: `build(turns)` gives a `search(query, k)`.

A turn has `id`, `speaker`, `text` and, if there are, `date` and `extra` (an image's caption). All goes through a
recall_service of the evaluation's own, which starts with the first `build` and ends with the process.
"""

from __future__ import annotations

import asyncio
import atexit
import tempfile
import threading
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from benchmarks.conversations import FORMS, ROLES, Conversation, message
from benchmarks.recall_process import Recall, embedded, recall_service

T = TypeVar("T")


class Turn(Protocol):
    id: str
    speaker: str
    text: str


class _Service:
    """A recall_service, and a thread whose loop speaks to it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.recall: Recall = self.run(self._stack.enter_async_context(recall_service(self.folder)))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@cache
def _service() -> _Service:
    service = _Service()
    atexit.register(service.close)
    return service


def build(turns: Sequence[Turn]) -> Callable[[str, int], list[str]]:
    """Appends the turns, in their order, as a user's of their own, and waits until all are embedded."""
    service = _service()
    messages = [_said(turn, position) for position, turn in enumerate(turns)]
    conversation = Conversation(uuid.uuid4().hex, messages, [])
    service.run(service.recall.append(conversation))
    service.run(embedded(service.folder))

    def search(query: str, k: int) -> list[str]:
        """The ids of the `k` best turns, best first."""
        return service.run(service.recall.search(conversation, query, k))

    return search


def _said(turn: Turn, position: int) -> Any:
    text = f"{turn.text} {getattr(turn, 'extra', '')}".strip()
    at = _time(getattr(turn, "date", "")) + timedelta(seconds=position)
    if turn.speaker in ROLES:
        return message(turn.id, text, int(at.timestamp()), role=turn.speaker)
    return message(turn.id, text, int(at.timestamp()), name=turn.speaker)


def _time(date: str) -> datetime:
    """When a session began. Turns come with its date alone, so each is put a second behind the last."""
    for form in FORMS:
        try:
            return datetime.strptime(date.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return datetime.fromtimestamp(0, UTC)
