"""Runs batches. What is to be run is in the store, so a crash only delays it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog

from gateway.backends import Backends
from gateway.store import Store
from gateway.stores import batches
from gateway.stores.batches import Item, State
from servicekit import deadline
from servicekit.background import went_well
from servicekit.principal import Principal, Tenant
from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import DeadlineExceeded, ResourceExhausted, TriptychError, Unavailable

_log = structlog.get_logger("batches")
# Turns of one batch, and of all batches of this process, at a time.
_OF_BATCH = 4
_OF_ALL = 16
# After so long it looks for batches that nobody runs: those of a gateway that is gone, or of a user enabled again.
_LOOK_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_MOST_RETRY_SECONDS = 30.0
_STATES = {
    pb.TURN_STATE_COMPLETED: State.COMPLETED,
    # Nobody answers its calls while the batch runs; whoever looks at it may.
    pb.TURN_STATE_WAITING: State.COMPLETED,
    pb.TURN_STATE_CANCELLED: State.CANCELLED,
}


class BatchRunner:
    """Two gateways on one store may run a batch both: its turns have ids of their own, so each runs once."""

    def __init__(self, store: Store, backends: Backends) -> None:
        self._store, self._backends = store, backends
        self._wanted = asyncio.Event()
        self._places = asyncio.Semaphore(_OF_ALL)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Takes up what an earlier process has left, then waits for more."""
        self._task = asyncio.get_running_loop().create_task(self._loop())

    def wake(self) -> None:
        """There is a new batch."""
        self._wanted.set()

    async def close(self) -> None:
        """Stops following the turns; they go on, and the next start follows them again."""
        tasks = [task for task in (self._task, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _loop(self) -> None:
        deadline.bind(None)
        while True:
            self._wanted.clear()
            await went_well(self._take_up(), "batches can't be read, will be tried again")
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _take_up(self) -> None:
        for tenant, batch_id in await self._store.read(batches.unfinished):
            if batch_id not in self._running:
                self._running[batch_id] = asyncio.create_task(self._run(tenant, batch_id))

    async def _run(self, tenant: Tenant, batch_id: str) -> None:
        places = asyncio.Semaphore(_OF_BATCH)
        try:
            found = await self._store.read(lambda c: batches.items(c, tenant, batch_id))
            async with asyncio.TaskGroup() as group:
                for item in found:
                    if item.state in (State.WAITING, State.RUNNING):
                        await places.acquire()
                        task = group.create_task(self._item(tenant, batch_id, item.position))
                        task.add_done_callback(lambda _: places.release())
            if await self._store.write(lambda c: batches.close(c, tenant, batch_id), alone=tenant):
                _log.info("a batch is over", batch=batch_id)
        except* TriptychError as errors:
            reasons = [error.reason_name for error in errors.exceptions if isinstance(error, TriptychError)]
            _log.warning("a batch stopped, will be taken up again", batch=batch_id, reasons=reasons)
        finally:
            del self._running[batch_id]

    async def _item(self, tenant: Tenant, batch_id: str, position: int) -> None:
        """Runs the turn to its end, or goes on waiting for it. One that may not start now is left to a later run."""
        pause = _RETRY_SECONDS
        while (item := await self._store.read(lambda c: batches.may_run(c, tenant, batch_id, position))) is not None:
            try:
                async with self._places:
                    state = await self._followed(tenant, batch_id, item)
            except (ResourceExhausted, Unavailable, DeadlineExceeded) as error:
                state, pause = None, min(error.retry_seconds or 2 * pause, _MOST_RETRY_SECONDS)
            except TriptychError as error:
                _log.info("a turn of a batch can't be run", batch=batch_id, reason=error.reason_name)
                state = State.FAILED
            if state is None:
                await asyncio.sleep(pause)
            else:
                await self._note_end(tenant, batch_id, position, state)

    async def _followed(self, tenant: Tenant, batch_id: str, item: Item) -> State | None:
        """How the turn ended; None if its events broke off. Raises: what StartTurn and ResumeTurn raise."""
        async for event in self._events(tenant, item):
            if event.HasField("accepted") and not item.turn_id:
                await self._note_accepted(tenant, batch_id, item.position, event.turn_id)
            for kind in ("done", "approval_request"):
                if event.HasField(kind):
                    return _STATES.get(getattr(event, kind).turn.state, State.FAILED)
        return None

    async def _events(self, tenant: Tenant, item: Item) -> AsyncIterator[pb.TurnEvent]:
        """From the turn's start on."""
        back, caller = self._backends, Principal(tenant)
        if item.start is None:
            resume = pb.ResumeTurnRequest(turn_id=item.turn_id)
            async for resumed in back.agent_peer.stream(back.turns.ResumeTurn, resume, caller=caller):
                yield resumed.event
            return
        async for started in back.agent_peer.stream(back.turns.StartTurn, item.start, caller=caller):
            yield started.event

    async def _note_accepted(self, tenant: Tenant, batch_id: str, position: int, turn_id: str) -> None:
        noted = await self._store.write(
            lambda c: batches.accepted(c, tenant, batch_id, position, turn_id), alone=tenant
        )
        if not noted:  # the batch was cancelled meanwhile
            back, cancel = self._backends, pb.CancelTurnRequest(turn_id=turn_id)
            await back.agent_peer.unary(back.turns.CancelTurn, cancel, caller=Principal(tenant))

    async def _note_end(self, tenant: Tenant, batch_id: str, position: int, state: State) -> None:
        await self._store.write(lambda c: batches.ended(c, tenant, batch_id, position, state), alone=tenant)
