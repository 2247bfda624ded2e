"""Runs one turn to its end: ask the model, commit the step, run its tools, tell recall, until it answers without tools.

Nothing but deltas leaves before the commit that makes it true.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from agent_service import clock, failpoints
from agent_service.stores import agents, sleeps
from agent_service.stores.turns import Claimed
from agent_service.turns import equipping, journal
from agent_service.turns.asking import Asker
from agent_service.turns.calling import Calling
from agent_service.turns.feed import Feed
from agent_service.turns.guide import Guide
from agent_service.turns.parts import Parts
from agent_service.turns.running import Running
from agent_service.turns.toolcalls import Caller
from servicekit import rpc
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.turn_pb2 import StepRestarted, TurnDone, TurnError, TurnEvent
from triptych.errors import TriptychError
from triptych.type.v1 import type_pb2

DEFAULT_MAX_STEPS = 50
# How long the end of a turn is held back for a recall that is away; its messages get there later all the same.
PATIENCE_SECONDS = 2.0


class TurnRunner:
    """One claimed turn. `run` once; afterwards the turn is over, or the process no longer owns it."""

    def __init__(self, parts: Parts, claimed: Claimed, feed: Feed) -> None:
        self._running = Running(parts, claimed, feed)
        caller = Caller(self._running)
        self._asker = Asker(self._running)
        self._guide = Guide(self._running)
        self._calling = Calling(self._running, caller, self._guide)

    async def run(self) -> None:
        """Raises: FailedPrecondition FENCED if another process has taken over. Every other error ends the turn."""
        try:
            async with self._running.worktime.limit():
                await self._run_steps()
        except Exception as error:  # whatever it was, whoever waits is told, and the conversation can go on
            mapped = rpc.to_error(error)
            if mapped.reason == type_pb2.ERROR_REASON_FENCED:
                raise
            await self.fail(mapped)

    async def settle(self) -> None:
        """Brings the messages of the ended turn to recall, however long that takes."""
        running = self._running
        await running.recall.send_all(running.parts.windows.peek(running.turn.conversation_id))

    async def _run_steps(self) -> None:
        running = self._running
        await self._take_up()
        max_steps = running.claimed.record.request.max_steps or DEFAULT_MAX_STEPS
        while True:
            step = journal.steps_taken(running.feed.journalled)
            if step and (reason := self._guide.ended()):
                return await self._finish(step, reason)
            if step >= max_steps:
                return await self._finish(step, turn_pb2.STOP_REASON_MAX_STEPS)
            self._guide.offer()
            failpoints.reach("model:before")
            answer = await self._asker.ask(step + 1)
            failpoints.reach("model:after")
            message = running.events.answer(step + 1, answer)
            made = [running.events.journalled(step + 1, message=message)]
            if not answer.tool_calls and self._guide.may_end():
                cut = answer.finish_reason == "length"
                reason = turn_pb2.STOP_REASON_MAX_TOKENS if cut else turn_pb2.STOP_REASON_END_TURN
                return await self._finish(step + 1, reason, made)
            made += [running.events.journalled(step + 1, tool_call=call) for call in message.tool_calls]
            await running.commit(made)
            failpoints.reach("step:committed")
            await self._calling.run_calls(step + 1, message)
            await running.recall.send(running.window, ended=False)

    async def _take_up(self) -> None:
        """Gets the window; after a crash, first tells recall what it may have missed and completes the step."""
        running = self._running
        await equipping.equip(running)
        self._guide.prepare()
        if running.claimed.record.attempt > 1:
            await running.recall.send(None, ended=False)
            step = journal.steps_taken(running.feed.journalled)
            restarted = StepRestarted(step_id=journal.step_id(running.turn.id, step + 1))
            await running.commit([running.events.journalled(step + 1, step_restarted=restarted)])
            running.parts.windows.forget(running.turn.conversation_id)
        lease = running.claimed.lease
        running.window = await running.parts.windows.get(
            running.principal,
            running.agent.id,
            lease.conversation_id,
            lease.view,
            self._asker.room(),
        )
        if open_calls := journal.open_calls(running.feed.journalled):
            step = journal.steps_taken(running.feed.journalled)
            message = journal.messages([e for e in running.feed.journalled if e.HasField("message")])[-1]
            await self._calling.run_calls(step, message, only=open_calls)
            await running.recall.send(running.window, ended=False)

    async def fail(self, error: TriptychError) -> None:
        """Ends the turn as failed. The user's message stays, and the turn can be sent again."""
        running = self._running
        step = journal.steps_taken(running.feed.journalled)
        running.turn.error.CopyFrom(TurnError(reason=error.reason, message=error.message))
        made = [*self._calling.close_calls(step), running.events.journalled(step, error=running.turn.error)]
        await self._finish(step, turn_pb2.STOP_REASON_ERROR, made)

    async def cancel(self) -> None:
        """Ends the turn as cancelled, if it has not ended. What its finished steps did stays."""
        if journal.is_over(self._running.feed.journalled):
            return
        step = journal.steps_taken(self._running.feed.journalled)
        await self._finish(step, turn_pb2.STOP_REASON_CANCELLED, self._calling.close_calls(step))

    async def _finish(self, step: int, reason: turn_pb2.StopReason.ValueType, made: Sequence[TurnEvent] = ()) -> None:
        """The last commit, and what it says; then recall, so that who sees the end can also list it; then the end."""
        running = self._running
        turn = running.turn
        turn.stop_reason = reason
        turn.ClearField("pending_calls")
        turn.state = _STATES.get(reason, turn_pb2.TURN_STATE_COMPLETED)
        turn.end_time.CopyFrom(clock.timestamp(clock.now()))
        ending = [
            running.events.journalled(step, usage=turn.usage),
            running.events.journalled(step, done=TurnDone(turn=turn)),
        ]
        last = running.numbered([*made, *ending])
        self._note_for_sleep_time()
        failpoints.reach("finish:before")
        await running.write(last)
        failpoints.reach("finish:committed")
        running.feed.send(last[:-1])
        try:
            await running.recall.send(running.window, ended=True, seconds=PATIENCE_SECONDS)
        finally:
            running.feed.send(last[-1:])

    def _note_for_sleep_time(self) -> None:
        """Has the turn counted, or its reading ended, with its last commit."""
        running = self._running
        tenant, turn, agent = running.tenant, running.turn, running.agent

        def note(connection: Connection) -> None:
            # It may have been turned off while the turn ran.
            now = agents.get(connection, tenant, agent.id)
            if now.sleep_time.enabled:
                sleeps.note(connection, tenant, now, turn)

        if running.sleeping:
            failed = turn.state != turn_pb2.TURN_STATE_COMPLETED
            running.with_next_commit(lambda c: sleeps.end(c, tenant, turn.id, failed=failed))
        elif agent.sleep_time.enabled and not running.guest:
            running.with_next_commit(note)


_STATES = {
    turn_pb2.STOP_REASON_ERROR: turn_pb2.TURN_STATE_FAILED,
    turn_pb2.STOP_REASON_CANCELLED: turn_pb2.TURN_STATE_CANCELLED,
}
