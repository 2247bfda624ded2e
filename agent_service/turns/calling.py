"""Runs the tool calls of a step, and journals each result, in the order of the calls, with the effect it had."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from agent_service import failpoints
from agent_service.stores import attached, conversations, turns
from agent_service.turns import journal
from agent_service.turns.guide import Guide
from agent_service.turns.outcomes import Outcome
from agent_service.turns.pausing import Pausing
from agent_service.turns.running import Running
from agent_service.turns.toolcalls import UNKNOWN, Caller
from triptych.agent.v1.agent_pb2 import Block
from triptych.agent.v1.turn_pb2 import ToolStarted, TurnEvent
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1.type_pb2 import ToolCall

# Calls of one step that run at once.
_MAX_AT_ONCE = 8
Indexed = tuple[int, ToolCall]


class Calling:
    """The calls of one running turn."""

    def __init__(self, running: Running, caller: Caller, guide: Guide) -> None:
        self._running, self._caller, self._guide = running, caller, guide
        self._pausing = Pausing(running, guide)
        self._slots = asyncio.Semaphore(_MAX_AT_ONCE)

    async def run_calls(self, step: int, message: Message, only: Sequence[ToolCall] | None = None) -> None:
        """Runs the calls of a journalled answer, or `only` those. Raises: FailedPrecondition FENCED.

        First it waits for those that somebody outside has to answer. Calls that don't depend on each other run at once.
        """
        open_ids = {call.id for call in (message.tool_calls if only is None else only)}
        wanted = [(index, call) for index, call in enumerate(message.tool_calls) if call.id in open_ids]
        known = {index: Outcome(f"Error: {problem}", failed=True) for index, problem in self._refused(message, wanted)}
        await self._pausing.settle(step, [call for index, call in wanted if index not in known])
        known |= {index: answer for index, call in wanted if (answer := self._pausing.outcome(call)) is not None}
        for group in self._groups(wanted, known):
            await self._run_group(step, group, known)

    def _refused(self, message: Message, calls: Iterable[Indexed]) -> Iterable[tuple[int, str]]:
        for index, _ in calls:
            if (problem := self._guide.refusal(message, index)) is not None:
                yield index, problem

    def _groups(self, calls: Sequence[Indexed], known: dict[int, Outcome]) -> list[list[Indexed]]:
        """The calls in order; those of a group may run at once."""
        groups: list[list[Indexed]] = []
        alone_before = True
        for index, call in calls:
            alone = index not in known and self._caller.waits_its_turn(call)
            if alone or alone_before:
                groups.append([])
            groups[-1].append((index, call))
            alone_before = alone
        return groups

    async def _run_group(self, step: int, group: Sequence[Indexed], known: dict[int, Outcome]) -> None:
        failpoints.reach("call:before")
        if len(group) == 1 and group[0][0] not in known and self._caller.edits_block(group[0][1]):
            return await self._finish_call(step, *group[0], None)
        begun = journal.started_calls(self._running.feed.journalled)
        unknown = Outcome(UNKNOWN, failed=True)
        known = {**{index: unknown for index, call in group if call.id in begun}, **known}
        running = [(index, call) for index, call in group if index not in known]
        await self._note_started(step, [call for _, call in running])
        tasks = {index: asyncio.create_task(self._run(step, index, call)) for index, call in running}
        try:
            for index, call in group:
                await self._finish_call(step, index, call, known[index] if index in known else await tasks[index])
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        return None

    async def _note_started(self, step: int, calls: Sequence[ToolCall]) -> None:
        """Journals, before they run, those calls that must not run twice."""
        running = self._running
        once = [call for call in calls if not self._caller.is_repeatable(call)]
        if once:
            marks = [ToolStarted(tool_call_id=call.id) for call in once]
            await running.commit([running.events.journalled(step, tool_started=mark) for mark in marks])

    async def _run(self, step: int, index: int, call: ToolCall) -> Outcome:
        async with self._slots:
            return await self._caller.call(call, self._key(step, index))

    def _key(self, step: int, index: int) -> str:
        return f"{self._running.turn.id}/{step}/{index}"

    async def _finish_call(self, step: int, index: int, call: ToolCall, outcome: Outcome | None) -> None:
        """Journals what a call came to. Without an outcome, edits the block in the same transaction."""
        running = self._running
        tenant, lease, turn = running.tenant, running.lease, running.turn
        failpoints.reach("call:effect")

        def work(connection: Connection) -> tuple[list[TurnEvent], list[Block]]:
            conversations.check_lease(connection, tenant, lease)
            done = outcome or self._caller.edit(connection, call, self._key(step, index))
            made = running.numbered(self._call_events(step, index, call, done))
            turns.commit(connection, tenant, lease, turn, made)
            return made, attached.of_agent(connection, tenant, running.agent.id)

        made, current = await running.journal(work, lambda done: done[0])
        failpoints.reach("call:journalled")
        running.agent.ClearField("blocks")
        running.agent.blocks.extend(current)
        running.send(made)

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
        begun = journal.started_calls(running.feed.journalled)
        made: list[TurnEvent] = []
        for index, call in enumerate(last[-1].tool_calls if last else ()):
            if call.id in open_ids:
                text = UNKNOWN if call.id in begun else "The turn ended before this ran."
                made += self._call_events(step, index, call, Outcome(text, failed=True))
        return made
