"""Runs the tool calls of a step, and journals each result with the effect it had."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from agent_service import failpoints
from agent_service.stores import attached, conversations, turns
from agent_service.turns import journal
from agent_service.turns.running import Running
from agent_service.turns.toolcalls import Caller, Outcome
from triptych.agent.v1.agent_pb2 import Block
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1.type_pb2 import ToolCall


class Calling:
    """The calls of one running turn."""

    def __init__(self, running: Running, caller: Caller) -> None:
        self._running, self._caller = running, caller

    async def run_calls(self, step: int, message: Message, only: Sequence[ToolCall] | None = None) -> None:
        """Runs the calls of a journalled answer, or `only` those. Raises: FailedPrecondition FENCED."""
        open_ids = {call.id for call in (message.tool_calls if only is None else only)}
        for index, call in enumerate(message.tool_calls):
            if call.id in open_ids:
                await self._run_call(step, index, call)

    async def _run_call(self, step: int, index: int, call: ToolCall) -> None:
        """One call. A block edit and its journal row are one transaction; another tier is told the call's key."""
        running = self._running
        key = f"{running.turn.id}/{step}/{index}"
        tenant, lease, turn = running.tenant, running.lease, running.turn
        failpoints.reach("call:before")
        outcome = None if self._caller.edits_block(call) else await self._caller.call(call, key)
        failpoints.reach("call:effect")

        def work(connection: Connection) -> tuple[list[TurnEvent], list[Block]]:
            conversations.check_lease(connection, tenant, lease)
            done = outcome or self._caller.edit(connection, call, key)
            made = running.numbered(self._call_events(step, index, call, done))
            turns.commit(connection, tenant, lease, turn, made)
            return made, attached.of_agent(connection, tenant, running.agent.id)

        made, current = await running.parts.store.write(work)
        failpoints.reach("call:journalled")
        running.agent.ClearField("blocks")
        running.agent.blocks.extend(current)
        running.publish(made)

    def _call_events(self, step: int, index: int, call: ToolCall, outcome: Outcome) -> list[TurnEvent]:
        running = self._running
        made = [running.events.journalled(step, memory_edit=outcome.edit)] if outcome.edit else []
        return [
            *made,
            running.events.journalled(step, tool_result=running.events.result(step, index, call, outcome)),
        ]

    def close_calls(self, step: int) -> list[TurnEvent]:
        """Results for calls that will not run, so that no later request has a call without one."""
        running = self._running
        last = [event.message for event in running.feed.journalled if event.HasField("message")]
        open_ids = {call.id for call in journal.open_calls(running.feed.journalled)}
        made: list[TurnEvent] = []
        for index, call in enumerate(last[-1].tool_calls if last else ()):
            if call.id in open_ids:
                made += self._call_events(step, index, call, Outcome("The turn ended before this ran.", failed=True))
        return made
