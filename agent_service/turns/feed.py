"""The live events of a turn, for any number of readers, none of whom is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from triptych.agent.v1.turn_pb2 import TextDelta, TurnEvent
from triptych.errors import ResourceExhausted

# A reader that is this many events behind is detached; it can resume where it was.
_BUFFER = 1_000


class Reader:
    """Who reads a feed: first the backlog, events behind `last`, then what is put here; None is the end.

    A list and a future, since thousands may wait: an `asyncio.Queue` is four double-ended queues, and 3 KB.
    """

    __slots__ = ("_came", "_waiting", "backlog", "deltas", "last", "overrun")

    def __init__(self, backlog: Sequence[TurnEvent], last: int, *, deltas: bool) -> None:
        self.backlog, self.last, self.deltas = backlog, last, deltas
        self.overrun = False
        self._came: list[TurnEvent | None] = []
        self._waiting: asyncio.Future[None] | None = None

    @property
    def is_behind(self) -> bool:
        return bool(self._came)

    def begin_with(self, events: Iterable[TurnEvent]) -> None:
        """What comes behind the backlog, and before all that is put here."""
        self._came.extend(events)

    def put(self, event: TurnEvent | None) -> bool:
        """False, and the end behind what came without a gap, if the reader is too far behind."""
        if len(self._came) >= _BUFFER:
            self.overrun = True
            self._came[-1] = None
            return False
        self._came.append(event)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        return True

    async def get(self) -> TurnEvent | None:
        while not self._came:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._came.pop(0)


class Feed:
    """Journalled events are kept and given to every reader from where it wants.

    Deltas only to those reading now; who comes in the middle of a message gets in one what there was of it.
    """

    def __init__(self, journalled: Sequence[TurnEvent]) -> None:
        self.journalled = list(journalled)
        # Of the message under way, by kind: its first delta, and the texts of all of them.
        self._under_way: dict[str | None, tuple[TurnEvent, list[str]]] = {}
        self._readers: set[Reader] = set()
        self._closed = False

    @property
    def wants_deltas(self) -> bool:
        return any(reader.deltas for reader in self._readers)

    def record(self, events: Sequence[TurnEvent]) -> None:
        """Events that are in the journal now, to be sent a little later."""
        self.journalled.extend(events)
        self._under_way.clear()

    def send(self, events: Sequence[TurnEvent]) -> None:
        """Gives recorded events, or deltas, to those who read."""
        for event in events:
            for reader in list(self._readers):
                self._put(reader, event)

    def send_delta(self, event: TurnEvent) -> None:
        _, texts = self._under_way.setdefault(event.WhichOneof("event"), (event, []))
        texts.append(_delta(event).text)
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

    def attach(self, after_sequence: int, *, deltas: bool) -> Reader:
        """Who from now on misses nothing; `read` it, or it is detached when it is too far behind."""
        backlog = [event for event in self.journalled if event.sequence > after_sequence]
        reader = Reader(backlog, after_sequence, deltas=deltas)
        if deltas:
            reader.begin_with(_whole(first, texts) for first, texts in self._under_way.values())
        if not self._closed:
            self._readers.add(reader)
        return reader

    async def read(self, reader: Reader) -> AsyncIterator[TurnEvent]:
        """Every journalled event behind where the reader began, then what happens until the turn is over.

        Raises: ResourceExhausted if the reader falls too far behind.
        """
        try:
            for event in reader.backlog:
                reader.last = event.sequence
                yield event
            while reader in self._readers or reader.is_behind:
                live = await reader.get()
                if live is None:
                    break
                if live.sequence == 0 or live.sequence > reader.last:
                    reader.last = live.sequence or reader.last
                    yield live
            if reader.overrun:
                raise ResourceExhausted("reading too slowly: resume the turn after the last event received")
        finally:
            self._readers.discard(reader)

    def _put(self, reader: Reader, event: TurnEvent | None) -> None:
        if not reader.put(event):
            self._readers.discard(reader)


def _delta(event: TurnEvent) -> TextDelta:
    return event.reasoning_delta if event.HasField("reasoning_delta") else event.text_delta


def _whole(first: TurnEvent, texts: Sequence[str]) -> TurnEvent:
    """All the deltas of one kind as one."""
    whole = TurnEvent()
    whole.CopyFrom(first)
    _delta(whole).text = "".join(texts)
    return whole
