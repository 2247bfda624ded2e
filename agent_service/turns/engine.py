"""All turns of this process: starting, attaching to, cancelling and taking them up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from agent_service import failpoints
from agent_service.stores import conversations, turns, unfinished
from agent_service.stores.replicas import Elsewhere
from agent_service.stores.rows import Window
from agent_service.stores.turns import Accepted, TurnRecord
from agent_service.turns import reading, unrun
from agent_service.turns.acknowledged import Acknowledged
from agent_service.turns.feed import Feed, Reader
from agent_service.turns.lanes import Lanes
from agent_service.turns.live import LiveTurns
from agent_service.turns.parts import Parts
from servicekit import ids
from servicekit.principal import Tenant
from triptych.agent.v1.turn_pb2 import ListTurnsRequest, StartTurnRequest, Turn, TurnEvent
from triptych.errors import Unavailable


@dataclass(frozen=True)
class _Begun:
    """A turn that was launched, and who started it as a reader of its events."""

    feed: Feed
    reader: Reader


class TurnEngine:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lanes = Lanes()
        self.acknowledged = Acknowledged()
        self._live = LiveTurns(parts, self._lanes, self.acknowledged)

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
        live = self._live.launch(accepted.record, [accepted.event], accepted.claimed)
        # Before the turn begins: a model may have said all before its caller is back from here.
        return _Begun(live.feed, live.feed.attach(0, deltas=request.deltas))

    async def follow(
        self, tenant: Tenant, turn_id: str, after_sequence: int, *, deltas: bool
    ) -> AsyncGenerator[TurnEvent, None]:
        """Every journalled event after that sequence, then what happens live.

        Raises: NotFound; Elsewhere; Unavailable while nobody runs the turn, or if recall is away that has its words.
        """
        if (live := self._live.of(tenant, turn_id)) is not None:
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

    async def list_page(self, tenant: Tenant, request: ListTurnsRequest, window: Window) -> tuple[list[Turn], str]:
        """With the end of one, or its absence from those that run, it waits as `get` does. Raises: InvalidArgument."""
        found = await self._parts.store.read(lambda c: turns.list_page(c, tenant, request, window))
        await self._live.told(tenant)
        return found

    async def cancel(self, tenant: Tenant, turn_id: str) -> Turn:
        """Stops a turn; one that is over stays as it is. Raises: NotFound; Elsewhere."""
        if (live := self._live.of(tenant, turn_id)) is not None:
            await live.cancel()
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

        Raises: NotFound, Aborted, FailedPrecondition TURN_WAITING; Elsewhere.
        """
        self._parts.waits.check_free(tenant, conversation_id)
        me = self._parts.process_id
        await self._parts.store.read(lambda c: conversations.check_here(c, tenant, conversation_id, me))
        self._lanes.take_place(conversation_id)
        async with self._lanes.turn(conversation_id):
            yield

    async def take_up(self) -> int:
        """Takes up every turn that nobody runs: left by a process that is gone, or stopped here. Gives their number."""
        left = [each for each in await unrun.left(self._parts) if not self._live.leaves_alone(each.turn_id)]
        loaded = [found for each in left if (found := await unrun.load(self._parts, each)) is not None]
        # All at once, so that no new turn gets ahead of one of them.
        for record, journalled in loaded:
            if record.turn.id not in self._live:
                self._lanes.take_place(record.turn.conversation_id)
                self._live.launch(record, journalled, None)
        return len(loaded)

    async def close(self) -> None:
        """Stops running turns where they are; the next start goes on with them."""
        await self._live.close()
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
