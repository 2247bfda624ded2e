"""The turns of this process that wait for somebody outside, and the way in for the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from servicekit.principal import Tenant
from triptych.agent.v1.turn_pb2 import ApprovalResponse, PendingCall, Turn
from triptych.errors import Aborted, FailedPrecondition, InvalidArgument
from triptych.type.v1 import type_pb2


class Wait:
    """One wait of one turn: it takes one answer, for some or all of its pending calls."""

    def __init__(self, tenant: Tenant, turn: Turn, pending: Sequence[PendingCall]) -> None:
        self.tenant, self.turn, self.pending = tenant, turn, pending
        self.answer: asyncio.Future[ApprovalResponse] = asyncio.get_running_loop().create_future()
        # The number of the event that says so, once the answer is journalled.
        self.accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def take(self, response: ApprovalResponse) -> int:
        """Hands an answer to the turn; gives the number of its event when that is durable.

        Raises: InvalidArgument for an answer to what is not pending; FailedPrecondition if another answer came first;
        Aborted if the turn stopped meanwhile.
        """
        self._check(response)
        if self.answer.done():
            if self.answer.cancelled() or self.answer.result() != response:
                raise FailedPrecondition("the turn is being continued by another request")
        else:
            self.answer.set_result(response)
        return await asyncio.shield(self.accepted)

    def give_up(self) -> None:
        """The turn no longer waits: who handed in an answer that was not journalled is told so."""
        if self.answer.done() and not self.accepted.done():
            self.accepted.set_exception(Aborted("the turn stopped before it took the answer: look at it again"))
            self.accepted.exception()  # whoever waits for it gets it; if nobody does, that is no fault

    def _check(self, response: ApprovalResponse) -> None:
        client_side = {each.call.id: each.client_side for each in self.pending}
        answered: set[str] = set()
        groups = (("approvals", False, response.approvals), ("tool_returns", True, response.tool_returns))
        for field, wanted, answers in groups:
            for answer in answers:
                if client_side.get(answer.tool_call_id) is not wanted:
                    raise InvalidArgument.of(field, f"no call {answer.tool_call_id[:100]!r} waits for that")
                if answer.tool_call_id in answered:
                    raise InvalidArgument.of(field, "a call is answered twice")
                answered.add(answer.tool_call_id)
        if not answered:
            raise InvalidArgument.of("approvals", "nothing is answered: give approvals or tool_returns")


class Waits:
    def __init__(self) -> None:
        self._by_turn: dict[str, Wait] = {}

    def open(self, tenant: Tenant, turn: Turn, pending: Sequence[PendingCall]) -> Wait:
        wait = Wait(tenant, turn, pending)
        self._by_turn[turn.id] = wait
        return wait

    def close(self, wait: Wait) -> None:
        if self._by_turn.get(wait.turn.id) is wait:
            del self._by_turn[wait.turn.id]
        wait.give_up()

    def of_turn(self, tenant: Tenant, turn_id: str) -> Wait | None:
        wait = self._by_turn.get(turn_id)
        return wait if wait is not None and wait.tenant == tenant else None

    def in_conversation(self, tenant: Tenant, conversation_id: str) -> Wait | None:
        return next(
            (
                wait
                for wait in self._by_turn.values()
                if wait.turn.conversation_id == conversation_id and wait.tenant == tenant
            ),
            None,
        )

    def check_free(self, tenant: Tenant, conversation_id: str) -> None:
        """Raises: FailedPrecondition TURN_WAITING if a turn of the conversation waits."""
        wait = self.in_conversation(tenant, conversation_id)
        if wait is not None:
            raise FailedPrecondition(
                f"turn {wait.turn.id} of this conversation waits for an answer: continue or cancel it first",
                reason=type_pb2.ERROR_REASON_TURN_WAITING,
                metadata={"turn_id": wait.turn.id},
            )
