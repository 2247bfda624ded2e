"""Tells recall what was said, step by step, each message once."""

from __future__ import annotations

import asyncio

import structlog

from agent_service import failpoints
from agent_service.context.window import Window
from agent_service.stores.conversations import Lease
from agent_service.tiers import Tiers
from agent_service.turns import journal, sleeping
from agent_service.turns.feed import Feed
from servicekit.principal import Principal
from triptych.agent.v1.turn_pb2 import Turn
from triptych.errors import DeadlineExceeded, Unavailable
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest
from triptych.type.v1.type_pb2 import Fence

_log = structlog.get_logger("turns")
_SECONDS = 20.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.2, 30.0


class RecallLog:
    """The appends of one turn, in order. What recall has acknowledged joins the window."""

    def __init__(self, tiers: Tiers, principal: Principal, turn: Turn, lease: Lease, feed: Feed) -> None:
        self._tiers, self._principal, self._turn, self._lease, self._feed = tiers, principal, turn, lease, feed
        self._sent = 0

    @property
    def sent_messages(self) -> int:
        """How many of the turn's messages recall has."""
        sent = journal.batches(self._turn.id, self._feed.journalled, ended=True)[: self._sent]
        return sum(len(batch.messages) for batch in sent)

    async def send(self, window: Window | None, *, ended: bool, seconds: float = _SECONDS) -> bool:
        """Sends what is complete; false if recall can't be reached within `seconds`.

        Raises: FailedPrecondition FENCED.
        """
        # What a sleep-time turn says to itself is no part of what was said: it stays in the journal.
        if sleeping.is_sleeping(self._turn):
            return True
        batches = journal.batches(self._turn.id, self._feed.journalled, ended=ended)
        for batch in batches[self._sent :]:
            request = AppendMessagesRequest(
                agent_id=self._turn.agent_id,
                conversation_id=self._turn.conversation_id,
                request_id=batch.request_id,
                fence=Fence(scope=self._lease.conversation_id, token=self._lease.fence),
                messages=batch.messages,
            )
            failpoints.reach("recall:before")
            try:
                stored = await self._tiers.append_messages(self._principal, request, seconds=seconds)
            except (Unavailable, DeadlineExceeded) as error:
                _log.warning("recall unreachable", reason=error.reason_name, turn=self._turn.id)
                return False
            failpoints.reach("recall:after")
            self._sent += 1
            if window is not None:
                window.extend(stored)
        return True

    async def send_all(self, window: Window | None) -> None:
        """Sends everything of a turn that has ended, however long recall is away."""
        wait = _FIRST_WAIT_SECONDS
        while not await self.send(window, ended=True):
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
