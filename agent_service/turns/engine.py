"""All turns of this process: starting, attaching to, cancelling and taking them up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection

from agent_service import failpoints
from agent_service.stores import conversations, turns, unfinished
from agent_service.stores.replicas import Elsewhere
from agent_service.stores.turns import Accepted, Claimed, TurnRecord
from agent_service.turns import reading, unrun
from agent_service.turns.acknowledged import Acknowledged
from agent_service.turns.feed import Feed, Reader
from agent_service.turns.lanes import Lanes, WaitedTooLong
from agent_service.turns.parts import Parts
from agent_service.turns.runner import TurnRunner
from agent_service.turns.unrun import Resting
from servicekit import deadline, ids, principal, rpc
from servicekit.principal import Principal, Tenant
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.turn_pb2 import StartTurnRequest, Turn, TurnError, TurnEvent
from triptych.errors import NotFound, Unavailable

_log = structlog.get_logger("turns")


@dataclass
class _Live:
    """A turn that this process runs, or will run when its conversation is free."""

    record: TurnRecord
    feed: Feed
    task: asyncio.Task[None] | None = None
    begun: bool = False
    cancelling: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class _Begun:
    """A turn that was launched, and who started it as a reader of its events."""

    feed: Feed
    reader: Reader


class TurnEngine:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lanes = Lanes()
        self._live: dict[str, _Live] = {}
        self._resting = Resting()
        self.acknowledged = Acknowledged()

    async def start(self, tenant: Tenant, request: StartTurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Accepts a turn, or finds the one of this `request_id`, and gives its events.

        Raises: NotFound, FailedPrecondition REQUEST_ID_REUSED, Aborted CONVERSATION_BUSY; Elsewhere, Orphaned.
        """
        # Shielded as a whole: a caller that goes away must not leave a turn that is stored and that nobody runs.
        begun = await asyncio.shield(self._begin(tenant, request))
        events = (
            self.follow(tenant, begun, 0, deltas=request.deltas)
            if isinstance(begun, str)
            else begun.feed.read(begun.reader)
        )
        async for event in events:
            yield event

    async def launch(self, tenant: Tenant, request: StartTurnRequest, also: Callable[[Connection, Turn], None]) -> None:
        """Starts a turn whose events nobody reads. `also`: done with the commit that makes it durable.

        Raises: as `start`.
        """
        await asyncio.shield(self._begin(tenant, request, also))

    async def _begin(
        self, tenant: Tenant, request: StartTurnRequest, also: Callable[[Connection, Turn], None] | None = None
    ) -> str | _Begun:
        """Accepts and launches a turn; or gives the id of the one that the request has started already."""
        conversation_id = request.conversation_id or ids.derived("conv", request.agent_id)
        first = self._lanes.take_place(conversation_id)
        taken = False
        try:
            accepted = await self._accept(tenant, request, also, idle=first)
            # Whoever looks for turns that nobody runs may have been here first.
            taken = accepted.new and accepted.record.turn.id not in self._live
        finally:
            if not taken:
                self._lanes.leave(conversation_id)
        if not taken:
            return accepted.record.turn.id
        live = _Live(accepted.record, Feed([accepted.event]))
        # Before the turn begins: a model may have said all before its caller is back from here.
        begun = _Begun(live.feed, live.feed.attach(0, deltas=request.deltas))
        self._launch(live, accepted.claimed)
        return begun

    async def follow(
        self, tenant: Tenant, turn_id: str, after_sequence: int, *, deltas: bool
    ) -> AsyncGenerator[TurnEvent, None]:
        """Every journalled event after that sequence, then what happens live.

        Raises: NotFound; Elsewhere; Unavailable while nobody runs the turn, or if recall is away that has its words.
        """
        live = self._live.get(turn_id)
        if live is not None and live.record.tenant == tenant:
            async for event in live.feed.read(live.feed.attach(after_sequence, deltas=deltas)):
                yield event
            return
        record, journalled = await self.journalled(tenant, turn_id, after_sequence)
        if record.live:
            await self.refuse(tenant, record.turn)
        for event in journalled:
            yield event

    async def journalled(
        self, tenant: Tenant, turn_id: str, after_sequence: int = 0, most: int | None = None
    ) -> tuple[TurnRecord, list[TurnEvent]]:
        """A turn, and what of it is journalled by now. Raises: NotFound; Unavailable if recall is needed and away."""
        return await reading.journalled(self._parts, tenant, turn_id, after_sequence, most)

    async def refuse(self, tenant: Tenant, turn: Turn) -> None:
        """Raises what there is to say of a turn that is not over, and that this process does not run."""
        me = self._parts.process_id
        await self._parts.store.read(lambda c: conversations.check_here(c, tenant, turn.conversation_id, me))
        raise Unavailable("the turn is being taken up again: ask again in a moment")

    async def get(self, tenant: Tenant, turn_id: str) -> Turn:
        """With its end it waits, as its readers do, until recall has the turn or is given up. Raises: NotFound."""
        record = await self._parts.store.read(lambda c: turns.get(c, tenant, turn_id))
        if not record.live and (live := self._live.get(turn_id)) is not None:
            await live.over.wait()
        return record.turn

    async def cancel(self, tenant: Tenant, turn_id: str) -> Turn:
        """Stops a turn; one that is over stays as it is. Raises: NotFound; Elsewhere."""
        live = self._live.get(turn_id)
        if live is not None and live.record.tenant == tenant and live.task is not None:
            live.cancelling = True
            # A task that is cancelled before it has begun never begins, and nothing would end the turn.
            if live.begun:
                live.task.cancel()
            await live.over.wait()
        turn = await self.get(tenant, turn_id)
        if turn.state in unfinished.LIVE:
            await self.refuse(tenant, turn)
        return turn

    async def stop(self, tenant: Tenant, *, agent_id: str = "", conversation_id: str = "") -> None:
        """Cancels the turns of an agent, a conversation or a user that is about to be deleted, wherever they run.

        Raises: Unavailable while nobody runs one of them.
        """
        live = await self._parts.store.read(
            lambda c: unfinished.live_ids(c, tenant, agent_id=agent_id, conversation_id=conversation_id)
        )
        await asyncio.gather(*(self._stop(tenant, turn_id) for turn_id in live))

    async def _stop(self, tenant: Tenant, turn_id: str) -> None:
        try:
            await self.cancel(tenant, turn_id)
        except Elsewhere as elsewhere:
            await self._parts.forwarder.cancel(elsewhere, turn_id)

    @asynccontextmanager
    async def between_turns(self, tenant: Tenant, conversation_id: str) -> AsyncIterator[None]:
        """Waits until the conversation's turns so far are over, and makes later ones wait.

        Raises: NotFound, Aborted; Elsewhere.
        """
        me = self._parts.process_id
        await self._parts.store.read(lambda c: conversations.check_here(c, tenant, conversation_id, me))
        self._lanes.take_place(conversation_id)
        async with self._lanes.turn(conversation_id):
            yield

    async def take_up(self) -> int:
        """Takes up every turn that nobody runs: left by a process that is gone, or stopped here. Gives their number."""
        here = self._live, self._resting
        left = [each for each in await unrun.left(self._parts) if not any(each.turn_id in some for some in here)]
        loaded = [found for each in left if (found := await unrun.load(self._parts, each)) is not None]
        # All at once, so that no new turn gets ahead of one of them.
        for record, journalled in loaded:
            if record.turn.id not in self._live:
                self._lanes.take_place(record.turn.conversation_id)
                self._launch(_Live(record, Feed(journalled)), None)
        return len(loaded)

    async def close(self) -> None:
        """Stops running turns where they are; the next start goes on with them."""
        tasks = [live.task for live in self._live.values() if live.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.acknowledged.mark(self._parts.store)

    async def _accept(
        self,
        tenant: Tenant,
        request: StartTurnRequest,
        also: Callable[[Connection, Turn], None] | None,
        *,
        idle: bool,
    ) -> Accepted:
        me = self._parts.process_id

        def work(connection: Connection) -> Accepted:
            mark(connection)
            accepted = turns.accept(connection, tenant, request, me, idle=idle)
            if accepted.new:
                self._parts.waits.check_free(tenant, accepted.record.turn.conversation_id)
                if also is not None:
                    also(connection, accepted.record.turn)
            return accepted

        failpoints.reach("accept:before")
        with self.acknowledged.marking() as mark:
            accepted = await self._parts.store.write(work, alone=tenant)
        failpoints.reach("accept:after")
        return accepted

    def _launch(self, live: _Live, claimed: Claimed | None) -> None:
        self._live[live.record.turn.id] = live
        live.task = asyncio.get_running_loop().create_task(self._run(live, claimed))

    async def _run(self, live: _Live, claimed: Claimed | None) -> None:
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
        if claimed.lease.changed:
            self._parts.windows.forget(claimed.lease.conversation_id)
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
        self.acknowledged.add(tenant, turn_id)

    async def _claim(self, tenant: Tenant, turn_id: str) -> Claimed | None:
        process_id = self._parts.process_id
        try:
            return await self._parts.store.write(lambda c: turns.claim(c, tenant, turn_id, process_id), alone=tenant)
        except NotFound:  # the agent was deleted while its turn waited
            return None

    async def _settle_ended(self, live: _Live) -> None:
        """Brings the messages of a turn that has ended to recall: its process died, or it never began."""
        if await unrun.tell_recall(self._parts, live.record, live.feed):
            self.acknowledged.add(live.record.tenant, live.record.turn.id)

    def _patience(self, record: TurnRecord) -> float | None:
        """Seconds that a turn waits in its lane; None for one that nobody waits for."""
        waits = record.turn.state == turn_pb2.TURN_STATE_QUEUED and not record.turn.background
        return self._parts.limits.queue_seconds if waits else None

    async def _end_queued(
        self, live: _Live, state: turn_pb2.TurnState.ValueType, reason: turn_pb2.StopReason.ValueType
    ) -> None:
        """Ends a turn that has not begun. Its message still goes to recall."""
        await unrun.end(self._parts, live.record, live.feed, state, reason)
        live.over.set()
        await self._settle_ended(live)
