"""The live events of a turn, for any number of readers, none of whom is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import ResourceExhausted

# A reader that is this many events behind is detached; it can resume where it was.
_BUFFER = 1_000


class _Reader:
    def __init__(self, *, deltas: bool) -> None:
        self.deltas = deltas
        self.queue: asyncio.Queue[TurnEvent | None] = asyncio.Queue(_BUFFER)
        self.overrun = False


class Feed:
    """Journalled events are kept and given to every reader from where it wants; deltas only to those reading now."""

    def __init__(self, journalled: Sequence[TurnEvent]) -> None:
        self.journalled = list(journalled)
        self._readers: set[_Reader] = set()
        self._closed = False

    @property
    def wants_deltas(self) -> bool:
        return any(reader.deltas for reader in self._readers)

    def record(self, events: Sequence[TurnEvent]) -> None:
        """Events that are in the journal now, to be sent a little later."""
        self.journalled.extend(events)

    def send(self, events: Sequence[TurnEvent]) -> None:
        """Gives recorded events, or deltas, to those who read."""
        for event in events:
            for reader in list(self._readers):
                self._put(reader, event)

    def send_delta(self, event: TurnEvent) -> None:
        for reader in list(self._readers):
            if reader.deltas:
                self._put(reader, event)

    def close(self) -> None:
        """No more will come: readers end when they have read what there is."""
        self._closed = True
        for reader in list(self._readers):
            self._put(reader, None)

    def pause(self) -> None:
        """Nothing will come until `reopen`: readers end when they have read what there is."""
        self.close()

    def reopen(self) -> None:
        """More will come, for those who begin to read now."""
        self._closed = False

    async def read(self, after_sequence: int, *, deltas: bool) -> AsyncIterator[TurnEvent]:
        """Every journalled event after that sequence, then what happens until the turn is over.

        Raises: ResourceExhausted if the reader falls too far behind.
        """
        reader = _Reader(deltas=deltas)
        backlog = [event for event in self.journalled if event.sequence > after_sequence]
        if not self._closed:
            self._readers.add(reader)
        last = after_sequence
        try:
            for event in backlog:
                last = event.sequence
                yield event
            while reader in self._readers or not reader.queue.empty():
                live = await reader.queue.get()
                if live is None:
                    break
                if live.sequence == 0 or live.sequence > last:
                    last = live.sequence or last
                    yield live
            if reader.overrun:
                raise ResourceExhausted("reading too slowly: resume the turn after the last event received")
        finally:
            self._readers.discard(reader)

    def _put(self, reader: _Reader, event: TurnEvent | None) -> None:
        try:
            reader.queue.put_nowait(event)
        except asyncio.QueueFull:
            reader.overrun = True
            self._readers.discard(reader)
            reader.queue.get_nowait()
            reader.queue.put_nowait(None)
