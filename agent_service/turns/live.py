"""The turns that this process runs, or will run when their conversations are free."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from agent_service import failpoints
from agent_service.stores import turns
from agent_service.stores.replicas import Elsewhere
from agent_service.stores.turns import Claimed, TurnRecord
from agent_service.turns import unrun
from agent_service.turns.acknowledged import Acknowledged
from agent_service.turns.feed import Feed
from agent_service.turns.lanes import Lanes, WaitedTooLong
from agent_service.turns.parts import Parts
from agent_service.turns.runner import PATIENCE_SECONDS, TurnRunner
from agent_service.turns.unrun import Resting
from servicekit import deadline, principal, rpc
from servicekit.principal import Principal, Tenant
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.turn_pb2 import TurnError, TurnEvent
from triptych.errors import NotFound

_log = structlog.get_logger("turns")


@dataclass
class LiveTurn:
    record: TurnRecord
    feed: Feed
    task: asyncio.Task[None] | None = None
    begun: bool = False
    cancelling: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        """Whether the store has its end, or is about to."""
        return not self.record.live

    async def cancel(self) -> None:
        """Returns when it is over."""
        if self.task is None:
            return
        self.cancelling = True
        # A task that is cancelled before it has begun never begins, and nothing would end the turn.
        if self.begun:
            self.task.cancel()
        await self.over.wait()

    def let_go(self) -> None:
        """Its readers, and whoever waits for its end, go on."""
        self.feed.close()
        self.over.set()


class LiveTurns:
    def __init__(self, parts: Parts, lanes: Lanes, acknowledged: Acknowledged) -> None:
        self._parts, self._lanes, self._acknowledged = parts, lanes, acknowledged
        self._turns: dict[str, LiveTurn] = {}
        self._resting = Resting()

    def __contains__(self, turn_id: str) -> bool:
        return turn_id in self._turns

    def get(self, turn_id: str) -> LiveTurn | None:
        return self._turns.get(turn_id)

    def of(self, tenant: Tenant, turn_id: str) -> LiveTurn | None:
        """None also if it is another's."""
        live = self._turns.get(turn_id)
        return live if live is not None and live.record.tenant == tenant else None

    async def told(self, tenant: Tenant) -> None:
        """Returns when recall has those of the user's turns that are over, or is given up."""
        ending = [live.over.wait() for live in self._turns.values() if live.record.tenant == tenant and live.is_over]
        if ending:
            await asyncio.gather(*ending)

    def leaves_alone(self, turn_id: str) -> bool:
        """Whether it need not be taken up: it is here, or could not go on and rests for a while."""
        return turn_id in self._turns or turn_id in self._resting

    def launch(self, record: TurnRecord, events: Sequence[TurnEvent], claimed: Claimed | None) -> LiveTurn:
        """Runs a turn, in the place that was taken for it in its lane. `events`: what is journalled of it."""
        live = LiveTurn(record, Feed(events))
        self._turns[record.turn.id] = live
        live.task = asyncio.get_running_loop().create_task(self._run(live, claimed))
        return live

    async def close(self) -> None:
        """Stops them where they are."""
        tasks = [live.task for live in self._turns.values() if live.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, live: LiveTurn, claimed: Claimed | None) -> None:
        """Runs a turn in its lane. It outlives its caller, so it has no deadline but the model's."""
        deadline.bind(None)
        principal.bind(Principal(live.record.tenant))
        live.begun = True
        if live.cancelling and live.task is not None:
            live.task.cancel()
        turn = live.record.turn
        try:
            async with self._lanes.turn(turn.conversation_id, self._patience(live.record)):
                await self._run_in_lane(live, claimed)
        except WaitedTooLong as error:
            turn.error.CopyFrom(TurnError(reason=error.reason, message=error.message))
            await self._end_queued(live, turn_pb2.TURN_STATE_FAILED, turn_pb2.STOP_REASON_ERROR)
        except asyncio.CancelledError:
            if live.cancelling and live.record.live:
                await self._end_queued(live, turn_pb2.TURN_STATE_CANCELLED, turn_pb2.STOP_REASON_CANCELLED)
        except Elsewhere:
            _log.info("another replica runs the turn", turn=turn.id)
        except Exception as error:
            self._resting.add(live.record)
            _log.error("turn stopped", turn=turn.id, reason=rpc.to_error(error).reason_name)
        finally:
            self._turns.pop(turn.id, None)
            live.let_go()

    async def _run_in_lane(self, live: LiveTurn, claimed: Claimed | None) -> None:
        tenant, turn_id = live.record.tenant, live.record.turn.id
        if not live.record.live:
            await self._settle_ended(live)
            return
        if claimed is None:
            claimed = await self._claim(tenant, turn_id)
        if claimed is None:
            return
        live.record = claimed.record
        if claimed.lease.changed:
            self._parts.windows.forget(claimed.lease.conversation_id)
        runner = TurnRunner(self._parts, claimed, live.feed)
        try:
            await runner.run()
        except asyncio.CancelledError:
            if not live.cancelling:
                raise
            await runner.cancel()
        self._turns.pop(turn_id, None)
        live.let_go()
        await runner.settle()
        failpoints.reach("settled")
        self._acknowledged.add(tenant, turn_id)

    async def _claim(self, tenant: Tenant, turn_id: str) -> Claimed | None:
        process_id = self._parts.process_id
        try:
            return await self._parts.store.write(lambda c: turns.claim(c, tenant, turn_id, process_id), alone=tenant)
        except NotFound:  # the agent was deleted while its turn waited
            return None

    async def _settle_ended(self, live: LiveTurn) -> None:
        """Brings the messages of a turn that has ended to recall: its process died, or it never began.

        That takes as long as recall is away; whoever waits for the turn's end does not.
        """
        giving_up = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, live.let_go)
        if await unrun.tell_recall(self._parts, live.record, live.feed):
            self._acknowledged.add(live.record.tenant, live.record.turn.id)
        giving_up.cancel()

    def _patience(self, record: TurnRecord) -> float | None:
        """Seconds that a turn waits in its lane; None for one that nobody waits for."""
        waits = record.turn.state == turn_pb2.TURN_STATE_QUEUED and not record.turn.background
        return self._parts.limits.queue_seconds if waits else None

    async def _end_queued(
        self, live: LiveTurn, state: turn_pb2.TurnState.ValueType, reason: turn_pb2.StopReason.ValueType
    ) -> None:
        """Ends a turn that has not begun. Its message still goes to recall, but not into the turn that is running."""
        conversation_id = live.record.turn.conversation_id
        self._lanes.take_place(conversation_id)  # it has just left one
        try:
            await unrun.end(self._parts, live.record, live.feed, state, reason)
        except BaseException:
            self._lanes.leave(conversation_id)
            raise
        live.over.set()
        giving_up = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, live.let_go)
        async with self._lanes.turn(conversation_id):
            await self._settle_ended(live)
        giving_up.cancel()
