"""A turn that waits: for a person's word on a call, or for what a call returned that the client runs.

The wait is in the journal, so a restart takes it up again; the answers are too, before anybody is told they were taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from agent_service.stores import turns
from agent_service.turns import journal, outcomes
from agent_service.turns.guide import Guide
from agent_service.turns.outcomes import Outcome
from agent_service.turns.running import Running
from triptych.agent.v1 import turn_pb2 as pb
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import ToolCall


class Pausing:
    """The waits of one running turn."""

    def __init__(self, running: Running, guide: Guide) -> None:
        self._running, self._guide = running, guide

    async def settle(self, step: int, calls: Sequence[ToolCall]) -> None:
        """Waits until all of the calls that somebody has to answer have been. Raises: FailedPrecondition FENCED."""
        while pending := self._pending(calls):
            await self._wait(step, pending)

    def outcome(self, call: ToolCall) -> Outcome | None:
        """What an answer makes of a call: what the client says it returned, or a denial; None if it is to be run."""
        for response in self._responses():
            for returned in response.tool_returns:
                if returned.tool_call_id == call.id:
                    limit = self._running.toolbox.return_char_limit(call.name)
                    failed = returned.status == type_pb2.TOOL_STATUS_ERROR
                    return Outcome(outcomes.bounded(returned.text, limit), failed=failed)
            for approval in response.approvals:
                if approval.tool_call_id == call.id and not approval.approve:
                    reason = f" Reason: {approval.reason}" if approval.reason else ""
                    return Outcome(f"Error: denied, and not run.{reason}", failed=True)
        return None

    def _pending(self, calls: Iterable[ToolCall]) -> list[pb.PendingCall]:
        responses = list(self._responses())
        answered = {a.tool_call_id for response in responses for a in response.approvals}
        returned = {r.tool_call_id for response in responses for r in response.tool_returns}
        pending: list[pb.PendingCall] = []
        for call in calls:
            client_side = self._running.toolbox.is_client_side(call.name)
            if client_side and call.id not in returned:
                pending.append(pb.PendingCall(call=call, client_side=True))
            elif not client_side and self._guide.needs_approval(call) and call.id not in answered:
                pending.append(pb.PendingCall(call=call))
        return pending

    async def _wait(self, step: int, pending: Sequence[pb.PendingCall]) -> None:
        running, waits = self._running, self._running.parts.waits
        wait = waits.open(running.tenant, running.turn, pending)
        try:
            await self._announce(step, pending)
            running.feed.pause()
            with running.worktime.paused():
                response = await wait.answer
            running.feed.reopen()
            wait.accepted.set_result(await self._accept(step, response))
        finally:
            running.feed.reopen()
            waits.close(wait)

    async def _announce(self, step: int, pending: Sequence[pb.PendingCall]) -> None:
        """Makes the wait durable, and tells those who read; after a restart it was told already."""
        running = self._running
        turn = running.turn
        turn.state, turn.stop_reason = pb.TURN_STATE_WAITING, pb.STOP_REASON_REQUIRES_APPROVAL
        turn.ClearField("pending_calls")
        turn.pending_calls.extend(pending)
        request = pb.ApprovalRequest(turn=turn)
        asked = [e for e in journal.since_answer(running.feed.journalled) if e.HasField("approval_request")]
        told = bool(asked) and asked[-1].approval_request == request
        await self._commit([] if told else [running.events.journalled(step, approval_request=request)])

    async def _accept(self, step: int, response: pb.ApprovalResponse) -> int:
        """Journals the answers; gives the event's number."""
        turn = self._running.turn
        turn.state = pb.TURN_STATE_RUNNING
        turn.ClearField("stop_reason")
        turn.ClearField("pending_calls")
        event = self._running.events.journalled(step, approval_response=response)
        await self._commit([event])
        return event.sequence

    async def _commit(self, made: Sequence[pb.TurnEvent]) -> None:
        """Journals events together with the turn's new state."""
        running = self._running
        numbered = running.numbered(made)

        def work(connection: Connection) -> None:
            turns.commit(connection, running.tenant, running.lease, running.turn, numbered)
            turns.mark(connection, running.tenant, running.turn)

        await running.journal(work, lambda _: numbered)
        running.send(numbered)

    def _responses(self) -> Iterable[pb.ApprovalResponse]:
        events = journal.since_answer(self._running.feed.journalled)
        return (event.approval_response for event in events if event.HasField("approval_response"))
