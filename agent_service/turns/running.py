"""A claimed turn while it runs: what it is, and how its events reach the journal and those who read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from agent_service import failpoints
from agent_service.context.window import Window
from agent_service.models.messages import ChatMessage
from agent_service.models.types import ToolSchema
from agent_service.stores import turns
from agent_service.stores.turns import Claimed
from agent_service.tools import registry, toolbox
from agent_service.turns import journal, sleeping
from agent_service.turns.events import EventMaker
from agent_service.turns.feed import Feed
from agent_service.turns.parts import Parts
from agent_service.turns.recall_log import RecallLog
from agent_service.turns.worktime import WorkTime
from servicekit.principal import Principal
from triptych.agent.v1.agent_pb2 import Agent
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.recall.v1.recall_pb2 import Message

T = TypeVar("T")


@dataclass(frozen=True)
class _With:
    """What is done in a commit of something else, and when that is over."""

    work: Callable[[Connection], None]
    after: Callable[[], None]


def _as_asked(claimed: Claimed) -> Agent:
    """The agent with the model that this turn asks for, if it does."""
    if not claimed.record.request.model:
        return claimed.agent
    agent = Agent()
    agent.CopyFrom(claimed.agent)
    agent.model.handle = claimed.record.request.model
    return agent


class Running:
    """Shared by the parts that run one turn. `agent` is kept as the last committed step left it."""

    def __init__(self, parts: Parts, claimed: Claimed, feed: Feed) -> None:
        self.parts, self.claimed, self.feed = parts, claimed, feed
        self.turn, self.lease = claimed.record.turn, claimed.lease
        self.sleeping = sleeping.is_sleeping(self.turn)
        self.agent = sleeping.asleep(claimed.agent) if self.sleeping else _as_asked(claimed)
        self.principal = Principal(claimed.record.tenant)
        self.tenant = self.principal.tenant
        self.guest = claimed.lease.guest
        offered = [name for name in self.agent.tools if name in registry.FOR_GUESTS or not self.guest]
        self.toolbox = toolbox.build(offered, {})
        # What the next step is offered of them, and what the model is told before it.
        self.tools: list[ToolSchema] = self.toolbox.schemas(self.toolbox.names)
        self.reminder = ""
        self.events = EventMaker(self.turn, claimed.record.attempt)
        self.recall = RecallLog(parts.tiers, self.principal, self.turn, self.lease, feed)
        self.window = Window()
        self.worktime = WorkTime(claimed.record.request.max_seconds or parts.limits.turn_seconds)
        self._with_next_commit: list[_With] = []

    def reminders(self) -> list[ChatMessage]:
        """What the next request ends with, beside the conversation."""
        return [{"role": "system", "content": self.reminder}] if self.reminder else []

    async def commit(self, made: Sequence[TurnEvent]) -> None:
        """Journals events, then sends them. Raises: FailedPrecondition FENCED."""
        numbered = self.numbered(made)
        await self.write(numbered)
        self.send(numbered)

    def with_next_commit(self, work: Callable[[Connection], None], after: Callable[[], None] = lambda: None) -> None:
        """Has `work` done in the transaction of the next events, and `after` called when that is committed."""
        self._with_next_commit.append(_With(work, after))

    async def write(self, numbered: Sequence[TurnEvent]) -> None:
        """Journals events with all that waits for the next commit; tells nobody. Raises: FailedPrecondition FENCED."""
        together, self._with_next_commit = self._with_next_commit, []

        def work(connection: Connection) -> None:
            turns.commit(connection, self.tenant, self.lease, self.turn, numbered)
            for each in together:
                each.work(connection)

        def committed(_: None) -> Sequence[TurnEvent]:
            for each in together:
                each.after()
            return numbered

        await self.journal(work, committed, alone=True)

    async def journal(
        self, work: Callable[[Connection], T], events: Callable[[T], Sequence[TurnEvent]], *, alone: bool = False
    ) -> T:
        """Runs a piece of work that journals, and notes the events that it journalled.

        Whoever cancels the turn meanwhile waits for that: else nobody here would know what the journal holds.
        `alone`: the piece touches nothing of other users. Raises: FailedPrecondition FENCED.
        """

        async def noted() -> T:
            done = await self.parts.store.write(work, alone=self.tenant if alone else None)
            self.feed.record(events(done))
            return done

        task = asyncio.ensure_future(noted())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            raise

    def turn_messages(self) -> list[Message]:
        """The turn's messages so far: those that recall has, and those behind them."""
        unsent = journal.messages(self.feed.journalled)[self.recall.sent_messages :]
        return [*self.window.of_turn(self.turn.id), *unsent]

    def send(self, made: Sequence[TurnEvent]) -> None:
        """Sends events that are in the journal."""
        failpoints.reach("events:before")
        self.feed.send(made)

    def numbered(self, made: Sequence[TurnEvent]) -> list[TurnEvent]:
        """The events with the journal's next numbers."""
        for sequence, event in enumerate(made, start=len(self.feed.journalled) + 1):
            event.sequence = sequence
        return list(made)
