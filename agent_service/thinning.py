"""Lets the journals of turns that ended a while ago go of the words that recall has too, some turns at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection

from agent_service import clock
from agent_service.store import Store
from agent_service.stores import sleeps, thinning
from agent_service.stores.thinning import Wordy
from agent_service.turns import words
from servicekit import deadline
from servicekit.background import went_well

_LONGEST_PAUSE_SECONDS = 30.0
# Turns in one commit: about ten milliseconds.
_AT_ONCE = 50


class Thinner:
    """`seconds`: how long a turn's journal keeps them, so that who comes back soon is served without recall."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store, self._microseconds = store, int(seconds * 1_000_000)
        self._pause = min(max(seconds / 2, 0.1), _LONGEST_PAUSE_SECONDS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._loop())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        deadline.bind(None)
        while True:
            more = await went_well(self._thin_some(), "journals stay as they are for now")
            await asyncio.sleep(0.1 if more else self._pause)

    async def _thin_some(self) -> bool:
        """Whether more may be due."""
        return await self.thin() == _AT_ONCE

    async def thin(self) -> int:
        """Thins the journals that have been due longest; gives their number."""
        before = clock.now() - self._microseconds
        found = await self._store.read(lambda c: thinning.due(c, before, _AT_ONCE))
        if found:
            await self._store.write(lambda c: _thin(c, found))
        return len(found)


def _thin(connection: Connection, ended: Sequence[Wordy]) -> None:
    for turn in ended:
        # What a sleep-time turn says to itself is nowhere else.
        asleep = turn.conversation_id == sleeps.conversation_of(turn.agent_id)
        events = [] if asleep else thinning.events(connection, turn)
        thinning.thin(connection, turn, [words.without(event) for event in events if words.has_any(event)])
