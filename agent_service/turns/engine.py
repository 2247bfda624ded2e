"""All turns of this process: starting, attaching to, cancelling and recovering them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection

from agent_service import clock, failpoints
from agent_service.stores import conversations, turns
from agent_service.stores.turns import Accepted, Claimed, TurnRecord
from agent_service.turns.feed import Feed
from agent_service.turns.lanes import Lanes
from agent_service.turns.parts import Parts
from agent_service.turns.recall_log import RecallLog
from agent_service.turns.runner import TurnRunner
from servicekit import deadline, ids, principal, rpc
from servicekit.principal import Principal, Tenant
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.turn_pb2 import StartTurnRequest, Turn, TurnDone, TurnEvent
from triptych.errors import NotFound

_log = structlog.get_logger("turns")


@dataclass
class _Live:
    """A turn that this process runs, or will run when its conversation is free."""

    record: TurnRecord
    feed: Feed
    task: asyncio.Task[None] | None = None
    cancelling: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class TurnEngine:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lanes = Lanes()
        self._live: dict[str, _Live] = {}
        # Turns whose messages recall has; the mark in the store goes with the next write.
        self._acknowledged: defaultdict[Tenant, list[str]] = defaultdict(list)

    async def start(self, tenant: Tenant, request: StartTurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Accepts a turn, or finds the one of this `request_id`, and gives its events.

        Raises: NotFound, FailedPrecondition REQUEST_ID_REUSED, Aborted CONVERSATION_BUSY.
        """
        # Shielded as a whole: a caller that goes away must not leave a turn that is stored and that nobody runs.
        turn_id = await asyncio.shield(self._begin(tenant, request))
        async for event in self.follow(tenant, turn_id, 0, deltas=request.deltas):
            yield event

    async def _begin(self, tenant: Tenant, request: StartTurnRequest) -> str:
        """Accepts and launches a turn, or finds the one that the request started; gives its id."""
        conversation_id = request.conversation_id or ids.derived("conv", request.agent_id)
        first = self._lanes.take_place(conversation_id)
        taken = False
        try:
            accepted = await self._accept(tenant, request, claim=first)
            taken = accepted.new
        finally:
            if not taken:
                self._lanes.leave(conversation_id)
        if accepted.new:
            self._launch(_Live(accepted.record, Feed([accepted.event])), accepted.claimed)
        return accepted.record.turn.id

    async def follow(
        self, tenant: Tenant, turn_id: str, after_sequence: int, *, deltas: bool
    ) -> AsyncGenerator[TurnEvent, None]:
        """Every journalled event after that sequence, then what happens live. Raises: NotFound."""
        live = self._live.get(turn_id)
        if live is not None and live.record.tenant == tenant:
            async for event in live.feed.read(after_sequence, deltas=deltas):
                yield event
            return
        stored = await self._parts.store.read(
            lambda c: (turns.get(c, tenant, turn_id), turns.events(c, tenant, turn_id, after_sequence))
        )
        for event in stored[1]:
            yield event

    async def get(self, tenant: Tenant, turn_id: str) -> Turn:
        """Raises: NotFound."""
        record = await self._parts.store.read(lambda c: turns.get(c, tenant, turn_id))
        return record.turn

    async def cancel(self, tenant: Tenant, turn_id: str) -> Turn:
        """Stops a turn; one that is over stays as it is. Raises: NotFound."""
        live = self._live.get(turn_id)
        if live is not None and live.record.tenant == tenant and live.task is not None:
            live.cancelling = True
            live.task.cancel()
            await live.over.wait()
        return await self.get(tenant, turn_id)

    async def stop_agent(self, tenant: Tenant, agent_id: str) -> None:
        """Cancels all turns of an agent that is about to be deleted."""
        await self._stop([each for each in self._live_of(tenant) if each.agent_id == agent_id], tenant)

    async def stop_conversation(self, tenant: Tenant, conversation_id: str) -> None:
        """Cancels all turns of a conversation that is about to be deleted."""
        live = [each for each in self._live_of(tenant) if each.conversation_id == conversation_id]
        await self._stop(live, tenant)

    async def stop_user(self, tenant: Tenant) -> None:
        """Cancels all turns of a user that is about to be erased."""
        await self._stop(self._live_of(tenant), tenant)

    def _live_of(self, tenant: Tenant) -> list[Turn]:
        return [each.record.turn for each in self._live.values() if each.record.tenant == tenant]

    async def _stop(self, live: Sequence[Turn], tenant: Tenant) -> None:
        await asyncio.gather(*(self.cancel(tenant, turn.id) for turn in live))

    @asynccontextmanager
    async def between_turns(self, conversation_id: str) -> AsyncIterator[None]:
        """Waits until the conversation's turns so far are over, and makes later ones wait. Raises: Aborted."""
        self._lanes.take_place(conversation_id)
        async with self._lanes.turn(conversation_id):
            yield

    async def recover(self) -> int:
        """Takes up every turn that a process before this one left; gives their number."""
        records = await self._parts.store.read(turns.unfinished)
        for record in records:
            journalled = await self._parts.store.read(
                lambda c, r=record: turns.events(c, r.tenant, r.turn.id)  # type: ignore[misc]
            )
            self._lanes.take_place(record.turn.conversation_id)
            self._launch(_Live(record, Feed(journalled)), None)
        return len(records)

    async def close(self) -> None:
        """Stops running turns where they are; the next start goes on with them."""
        tasks = [live.task for live in self._live.values() if live.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        acknowledged, self._acknowledged = self._acknowledged, defaultdict(list)
        await self._parts.store.write(lambda c: _mark(c, acknowledged))

    async def _accept(self, tenant: Tenant, request: StartTurnRequest, *, claim: bool) -> Accepted:
        acknowledged, self._acknowledged = self._acknowledged, defaultdict(list)
        claimant = self._parts.process_id if claim else None

        def work(connection: Connection) -> Accepted:
            _mark(connection, acknowledged)
            accepted = turns.accept(connection, tenant, request, claimant)
            if accepted.new:
                self._parts.waits.check_free(tenant, accepted.record.turn.conversation_id)
            return accepted

        failpoints.reach("accept:before")
        accepted = await self._parts.store.write(work)
        failpoints.reach("accept:after")
        return accepted

    def _launch(self, live: _Live, claimed: Claimed | None) -> None:
        self._live[live.record.turn.id] = live
        live.task = asyncio.get_running_loop().create_task(self._run(live, claimed))

    async def _run(self, live: _Live, claimed: Claimed | None) -> None:
        """Runs a turn in its lane. It outlives its caller, so it has no deadline but the model's."""
        deadline.bind(None)
        principal.bind(Principal(live.record.tenant))
        turn = live.record.turn
        try:
            async with self._lanes.turn(turn.conversation_id):
                await self._run_in_lane(live, claimed)
        except asyncio.CancelledError:
            if live.cancelling and live.record.live:
                await self._cancel_queued(live)
        except Exception as error:
            _log.error("turn stopped", turn=turn.id, reason=rpc.to_error(error).reason_name)
        finally:
            live.feed.close()
            self._live.pop(turn.id, None)
            live.over.set()

    async def _run_in_lane(self, live: _Live, claimed: Claimed | None) -> None:
        tenant, turn_id = live.record.tenant, live.record.turn.id
        if not live.record.live:
            await self._settle_ended(live)
            return
        if claimed is None:
            claimed = await self._claim(tenant, turn_id)
        if claimed is None:
            return
        live.record = claimed.record
        runner = TurnRunner(self._parts, claimed, live.feed)
        try:
            await runner.run()
        except asyncio.CancelledError:
            if not live.cancelling:
                raise
            await runner.cancel()
        live.feed.close()
        self._live.pop(turn_id, None)
        live.over.set()
        await runner.settle()
        failpoints.reach("settled")
        self._acknowledged[tenant].append(turn_id)

    async def _claim(self, tenant: Tenant, turn_id: str) -> Claimed | None:
        process_id = self._parts.process_id
        try:
            return await self._parts.store.write(lambda c: turns.claim(c, tenant, turn_id, process_id))
        except NotFound:  # the agent was deleted while its turn waited
            return None

    async def _settle_ended(self, live: _Live) -> None:
        """Brings the messages of a turn that has ended to recall: its process died, or it never began."""
        tenant, turn = live.record.tenant, live.record.turn
        process_id = self._parts.process_id
        try:
            lease = await self._parts.store.write(
                lambda c: conversations.claim(c, tenant, turn.conversation_id, turn.agent_id, process_id)
            )
        except NotFound:  # the agent was deleted meanwhile
            return
        assert lease is not None, "there is a claimant"
        await RecallLog(self._parts.tiers, Principal(tenant), turn, lease, live.feed).send_all(None)
        self._parts.windows.forget(turn.conversation_id)
        self._acknowledged[tenant].append(turn.id)

    async def _cancel_queued(self, live: _Live) -> None:
        """Ends a turn that was cancelled before it began. Its message still goes to recall."""
        turn = live.record.turn
        turn.state, turn.stop_reason = turn_pb2.TURN_STATE_CANCELLED, turn_pb2.STOP_REASON_CANCELLED
        turn.end_time.CopyFrom(clock.timestamp(clock.now()))
        done = TurnEvent(
            turn_id=turn.id, sequence=len(live.feed.journalled) + 1, create_time=turn.end_time, done=TurnDone(turn=turn)
        )
        tenant = live.record.tenant
        await self._parts.store.write(lambda c: turns.end_without_lease(c, tenant, turn, [done]))
        live.feed.record([done])
        live.feed.send([done])
        live.over.set()
        await self._settle_ended(live)


def _mark(connection: Connection, acknowledged: dict[Tenant, list[str]]) -> None:
    for tenant, turn_ids in acknowledged.items():
        turns.recall_acknowledged(connection, tenant, turn_ids)
