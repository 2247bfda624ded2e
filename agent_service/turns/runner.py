"""Runs one turn to its end: ask the model, commit the step, run its tools, tell recall, until it answers without tools.

Nothing but deltas leaves before the commit that makes it true.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from agent_service import clock
from agent_service.context import build
from agent_service.context.window import Window
from agent_service.models.types import ModelAnswer, ModelRequest
from agent_service.stores import attached, conversations, turns
from agent_service.stores.turns import Claimed
from agent_service.tools import registry, speech
from agent_service.turns import journal
from agent_service.turns.deltas import DeltaStream
from agent_service.turns.events import EventMaker
from agent_service.turns.feed import Feed
from agent_service.turns.parts import Parts
from agent_service.turns.recall_log import RecallLog
from agent_service.turns.toolcalls import Caller, Outcome
from servicekit import rpc
from servicekit.principal import Principal
from triptych.agent.v1 import turn_pb2
from triptych.agent.v1.agent_pb2 import Block
from triptych.agent.v1.turn_pb2 import StepRestarted, TurnDone, TurnError, TurnEvent
from triptych.errors import FailedPrecondition, TriptychError
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall

DEFAULT_MAX_STEPS = 50
_OVERFLOW_SHRINK = 0.5
# How long the end of a turn is held back for a recall that is away; its messages get there later all the same.
_PATIENCE_SECONDS = 2.0


class TurnRunner:
    """One claimed turn. `run` once; afterwards the turn is over, or the process no longer owns it."""

    def __init__(self, parts: Parts, claimed: Claimed, feed: Feed) -> None:
        self._parts, self._claimed, self._feed = parts, claimed, feed
        self._turn, self._agent = claimed.record.turn, claimed.agent
        self._principal = Principal(claimed.record.tenant)
        self._tools = registry.schemas(self._agent.tools)
        self._events = EventMaker(self._turn, claimed.record.attempt)
        self._caller = Caller(parts, claimed, self._principal)
        self._recall = RecallLog(parts.tiers, self._principal, self._turn, claimed.lease, feed)
        self._window = Window(0)

    async def run(self) -> None:
        """Raises: FailedPrecondition FENCED if another process has taken over. Every other error ends the turn."""
        try:
            await self._run_steps()
        except Exception as error:  # whatever it was, whoever waits is told, and the conversation can go on
            mapped = rpc.to_error(error)
            if mapped.reason == type_pb2.ERROR_REASON_FENCED:
                raise
            await self.fail(mapped)

    async def settle(self) -> None:
        """Brings the messages of the ended turn to recall, however long that takes."""
        await self._recall.send_all(self._parts.windows.peek(self._turn.conversation_id))

    async def _run_steps(self) -> None:
        await self._take_up()
        max_steps = self._claimed.record.request.max_steps or DEFAULT_MAX_STEPS
        while True:
            step = journal.steps_taken(self._feed.journalled)
            if step and self._spoke_by_tool():
                return await self._finish(step, turn_pb2.STOP_REASON_END_TURN)
            if step >= max_steps:
                return await self._finish(step, turn_pb2.STOP_REASON_MAX_STEPS)
            answer = await self._ask(step + 1)
            message = self._events.answer(step + 1, answer)
            made = [self._events.journalled(step + 1, message=message)]
            if not answer.tool_calls:
                cut = answer.finish_reason == "length"
                reason = turn_pb2.STOP_REASON_MAX_TOKENS if cut else turn_pb2.STOP_REASON_END_TURN
                return await self._finish(step + 1, reason, made)
            made += [self._events.journalled(step + 1, tool_call=call) for call in message.tool_calls]
            await self._commit(made)
            await self._run_calls(step + 1, message)
            await self._recall.send(self._window, ended=False)

    async def _take_up(self) -> None:
        """Gets the window; after a crash, first tells recall what it may have missed and completes the step."""
        if self._claimed.record.attempt > 1:
            await self._recall.send(None, ended=False)
            step = journal.steps_taken(self._feed.journalled)
            restarted = StepRestarted(step_id=journal.step_id(self._turn.id, step + 1))
            await self._commit([self._events.journalled(step + 1, step_restarted=restarted)])
            self._parts.windows.forget(self._turn.conversation_id)
        lease = self._claimed.lease
        self._window = await self._parts.windows.get(
            self._principal, self._agent.id, lease.conversation_id, lease.window_start, self._budget()
        )
        if open_calls := journal.open_calls(self._feed.journalled):
            step = journal.steps_taken(self._feed.journalled)
            message = journal.messages([e for e in self._feed.journalled if e.HasField("message")])[-1]
            await self._run_calls(step, message, only=open_calls)
            await self._recall.send(self._window, ended=False)

    async def _ask(self, step: int) -> ModelAnswer:
        """The model's answer to what there is; a provider's "too long" is met once, by a smaller window."""
        try:
            return await self._ask_within(step, self._budget())
        except FailedPrecondition as error:
            if error.reason != type_pb2.ERROR_REASON_CONTEXT_OVERFLOW or not self._window.messages:
                raise
        return await self._ask_within(step, int(self._budget() * _OVERFLOW_SHRINK))

    async def _ask_within(self, step: int, budget: int) -> ModelAnswer:
        unsent = journal.messages(self._feed.journalled)[self._recall.sent_messages :]
        if self._window.fit(budget, unsent, keep=self._turn.id):
            tenant, lease, start = self._principal.tenant, self._claimed.lease, self._window.start
            await self._parts.store.write(lambda c: conversations.move_window(c, tenant, lease, start))
        built = build.build(
            self._agent,
            self._window.before(self._turn.id),
            [*self._window.of_turn(self._turn.id), *unsent],
            self._caller.now,
            hidden=self._window.hidden,
        )
        settings = self._agent.model
        request = ModelRequest(
            model=await self._parts.model.resolve(settings.handle),
            messages=built.messages,
            tools=self._tools,
            temperature=settings.temperature if settings.HasField("temperature") else None,
            max_output_tokens=settings.max_output_tokens or None,
            parallel_tool_calls=settings.parallel_tool_calls if settings.HasField("parallel_tool_calls") else None,
        )
        stream = DeltaStream(lambda kind, text: self._feed.send_delta(self._events.delta(step, kind, text)))
        try:
            answer = await self._parts.model.complete(request, stream.sink() if self._feed.wants_deltas else None)
        finally:
            stream.flush()
        self._count(answer)
        return answer

    def _count(self, answer: ModelAnswer) -> None:
        usage = self._turn.usage
        usage.prompt_tokens += answer.usage.prompt
        usage.completion_tokens += answer.usage.completion
        usage.total_tokens += answer.usage.prompt + answer.usage.completion
        usage.cached_tokens += answer.usage.cached
        usage.reasoning_tokens += answer.usage.reasoning
        usage.step_count += 1
        usage.context_tokens = answer.usage.prompt

    async def _run_calls(self, step: int, message: Message, only: Sequence[ToolCall] | None = None) -> None:
        open_ids = {call.id for call in (message.tool_calls if only is None else only)}
        for index, call in enumerate(message.tool_calls):
            if call.id in open_ids:
                await self._run_call(step, index, call)

    async def _run_call(self, step: int, index: int, call: ToolCall) -> None:
        """One call. A block edit and its journal row are one transaction; another tier is told the call's key."""
        key = f"{self._turn.id}/{step}/{index}"
        tenant, lease, turn = self._principal.tenant, self._claimed.lease, self._turn
        outcome = None if self._caller.edits_block(call) else await self._caller.call(call, key)

        def work(connection: Connection) -> tuple[list[TurnEvent], list[Block]]:
            conversations.check_lease(connection, tenant, lease)
            done = outcome or self._caller.edit(connection, call, key)
            made = self._numbered(self._call_events(step, index, call, done))
            turns.commit(connection, tenant, lease, turn, made)
            return made, attached.of_agent(connection, tenant, self._agent.id)

        made, current = await self._parts.store.write(work)
        self._agent.ClearField("blocks")
        self._agent.blocks.extend(current)
        self._publish(made)

    def _call_events(self, step: int, index: int, call: ToolCall, outcome: Outcome) -> list[TurnEvent]:
        made = [self._events.journalled(step, memory_edit=outcome.edit)] if outcome.edit else []
        return [*made, self._events.journalled(step, tool_result=self._events.result(step, index, call, outcome))]

    def _spoke_by_tool(self) -> bool:
        """Whether the last step was nothing but speech by the tool of older agents, which ends a turn."""
        last = [event.message for event in self._feed.journalled if event.HasField("message")][-1]
        return all(call.name == speech.SEND_MESSAGE for call in last.tool_calls)

    async def fail(self, error: TriptychError) -> None:
        """Ends the turn as failed. The user's message stays, and the turn can be sent again."""
        step = journal.steps_taken(self._feed.journalled)
        self._turn.error.CopyFrom(TurnError(reason=error.reason, message=error.message))
        made = [*self._close_calls(step), self._events.journalled(step, error=self._turn.error)]
        await self._finish(step, turn_pb2.STOP_REASON_ERROR, made)

    async def cancel(self) -> None:
        """Ends the turn as cancelled. What its finished steps did stays."""
        step = journal.steps_taken(self._feed.journalled)
        await self._finish(step, turn_pb2.STOP_REASON_CANCELLED, self._close_calls(step))

    def _close_calls(self, step: int) -> list[TurnEvent]:
        """Results for calls that will not run, so that no later request has a call without one."""
        last = [event.message for event in self._feed.journalled if event.HasField("message")]
        open_ids = {call.id for call in journal.open_calls(self._feed.journalled)}
        made: list[TurnEvent] = []
        for index, call in enumerate(last[-1].tool_calls if last else ()):
            if call.id in open_ids:
                made += self._call_events(step, index, call, Outcome("The turn ended before this ran.", failed=True))
        return made

    async def _finish(self, step: int, reason: turn_pb2.StopReason.ValueType, made: Sequence[TurnEvent] = ()) -> None:
        """The last commit; then recall, so that who sees the end can also list what was said; then the events."""
        turn = self._turn
        turn.stop_reason = reason
        turn.state = _STATES.get(reason, turn_pb2.TURN_STATE_COMPLETED)
        turn.end_time.CopyFrom(clock.timestamp(clock.now()))
        ending = [
            self._events.journalled(step, usage=turn.usage),
            self._events.journalled(step, done=TurnDone(turn=turn)),
        ]
        last = self._numbered([*made, *ending])
        tenant, lease = self._principal.tenant, self._claimed.lease
        await self._parts.store.write(lambda c: turns.commit(c, tenant, lease, turn, last))
        self._feed.record(last)
        await self._recall.send(self._window, ended=True, seconds=_PATIENCE_SECONDS)
        self._feed.send(last)

    async def _commit(self, made: Sequence[TurnEvent]) -> None:
        tenant, lease, turn = self._principal.tenant, self._claimed.lease, self._turn
        numbered = self._numbered(made)
        await self._parts.store.write(lambda c: turns.commit(c, tenant, lease, turn, numbered))
        self._publish(numbered)

    def _publish(self, made: Sequence[TurnEvent]) -> None:
        self._feed.record(made)
        self._feed.send(made)

    def _numbered(self, made: Sequence[TurnEvent]) -> list[TurnEvent]:
        """The events with the journal's next numbers."""
        for sequence, event in enumerate(made, start=len(self._feed.journalled) + 1):
            event.sequence = sequence
        return list(made)

    def _budget(self) -> int:
        window_tokens = self._agent.model.context_window or self._parts.context_window
        return build.history_budget(self._agent, self._tools, window_tokens)


_STATES = {
    turn_pb2.STOP_REASON_ERROR: turn_pb2.TURN_STATE_FAILED,
    turn_pb2.STOP_REASON_CANCELLED: turn_pb2.TURN_STATE_CANCELLED,
}
