"""A claimed turn while it runs: what it is, and how its events reach the journal and those who read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from agent_service import failpoints
from agent_service.context.window import Window
from agent_service.models.types import ChatMessage, ToolSchema
from agent_service.stores import turns
from agent_service.stores.turns import Claimed
from agent_service.tools import toolbox
from agent_service.turns import journal
from agent_service.turns.events import EventMaker
from agent_service.turns.feed import Feed
from agent_service.turns.parts import Parts
from agent_service.turns.recall_log import RecallLog
from servicekit.principal import Principal
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.recall.v1.recall_pb2 import Message


@dataclass(frozen=True)
class _With:
    """What is done in a commit of something else, and when that is over."""

    work: Callable[[Connection], None]
    after: Callable[[], None]


class Running:
    """Shared by the parts that run one turn. `agent` is kept as the last committed step left it."""

    def __init__(self, parts: Parts, claimed: Claimed, feed: Feed) -> None:
        self.parts, self.claimed, self.feed = parts, claimed, feed
        self.turn, self.agent, self.lease = claimed.record.turn, claimed.agent, claimed.lease
        self.principal = Principal(claimed.record.tenant)
        self.tenant = self.principal.tenant
        self.toolbox = toolbox.build(self.agent.tools, {})
        # What the next step is offered of them, and what the model is told before it.
        self.tools: list[ToolSchema] = self.toolbox.schemas(self.toolbox.names)
        self.reminder = ""
        self.events = EventMaker(self.turn, claimed.record.attempt)
        self.recall = RecallLog(parts.tiers, self.principal, self.turn, self.lease, feed)
        self.window = Window()
        self._with_next_commit: list[_With] = []

    def reminders(self) -> list[ChatMessage]:
        """What the next request ends with, beside the conversation."""
        return [{"role": "system", "content": self.reminder}] if self.reminder else []

    async def commit(self, made: Sequence[TurnEvent]) -> None:
        """Journals events, then sends them. Raises: FailedPrecondition FENCED."""
        numbered = self.numbered(made)
        await self.write(numbered)
        self.publish(numbered)

    def with_next_commit(self, work: Callable[[Connection], None], after: Callable[[], None]) -> None:
        """Has `work` done in the transaction of the next events, and `after` called when that is committed."""
        self._with_next_commit.append(_With(work, after))

    async def write(self, numbered: Sequence[TurnEvent]) -> None:
        """Journals events with all that waits for the next commit. Raises: FailedPrecondition FENCED."""
        together, self._with_next_commit = self._with_next_commit, []

        def work(connection: Connection) -> None:
            turns.commit(connection, self.tenant, self.lease, self.turn, numbered)
            for each in together:
                each.work(connection)

        await self.parts.store.write(work, alone=self.tenant)
        for each in together:
            each.after()

    def turn_messages(self) -> list[Message]:
        """The turn's messages so far: those that recall has, and those behind them."""
        unsent = journal.messages(self.feed.journalled)[self.recall.sent_messages :]
        return [*self.window.of_turn(self.turn.id), *unsent]

    def publish(self, made: Sequence[TurnEvent]) -> None:
        """Sends events that are in the journal."""
        failpoints.reach("events:before")
        self.feed.record(made)
        self.feed.send(made)

    def numbered(self, made: Sequence[TurnEvent]) -> list[TurnEvent]:
        """The events with the journal's next numbers."""
        for sequence, event in enumerate(made, start=len(self.feed.journalled) + 1):
            event.sequence = sequence
        return list(made)
