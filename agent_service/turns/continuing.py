"""Going on with a turn that waits: the answers reach it once, however often they are sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from sqlalchemy import Connection

from agent_service.stores import turns
from agent_service.stores.rows import Window
from agent_service.stores.turns import TurnRecord
from agent_service.turns import words
from agent_service.turns.engine import TurnEngine
from agent_service.turns.parts import Parts
from servicekit import ids, paging
from servicekit.principal import Tenant
from triptych.agent.v1 import turn_pb2 as pb
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.errors import FailedPrecondition
from triptych.type.v1 import type_pb2


class Continuer:
    def __init__(self, parts: Parts, engine: TurnEngine) -> None:
        self._parts, self._engine = parts, engine

    async def continue_turn(self, tenant: Tenant, request: pb.ContinueTurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Hands in answers, and gives what happens from there on. A `request_id` that was answered only gives it again.

        Raises: NotFound; InvalidArgument for an answer to what is not pending; FailedPrecondition if the turn does not
        wait, or REQUEST_ID_REUSED; Aborted if it stopped meanwhile; Elsewhere.
        """
        response = pb.ApprovalResponse(
            request_id=request.request_id, approvals=request.approvals, tool_returns=request.tool_returns
        )
        sequence = await self._hand_in(tenant, request.turn_id, response)
        async for event in self._engine.follow(tenant, request.turn_id, sequence - 1, deltas=request.deltas):
            yield event

    async def continue_conversation(
        self, tenant: Tenant, request: pb.StartTurnRequest
    ) -> AsyncGenerator[TurnEvent, None]:
        """The same for the turn that waits in a conversation, whatever its id. Raises as `continue_turn`."""
        conversation_id = request.conversation_id or ids.derived("conv", request.agent_id)
        wait = self._parts.waits.in_conversation(tenant, conversation_id)
        turn_id = wait.turn.id if wait else await self._last_turn(tenant, request.agent_id, conversation_id)
        answers = pb.ContinueTurnRequest(
            turn_id=turn_id,
            request_id=request.request_id,
            approvals=request.approvals,
            tool_returns=request.tool_returns,
            deltas=request.deltas,
        )
        async for event in self.continue_turn(tenant, answers):
            yield event

    async def _hand_in(self, tenant: Tenant, turn_id: str, response: pb.ApprovalResponse) -> int:
        """Gives the number of the event that says so."""

        def work(connection: Connection) -> tuple[TurnRecord, list[TurnEvent]]:
            return turns.get(connection, tenant, turn_id), turns.events(connection, tenant, turn_id)

        wait = self._parts.waits.of_turn(tenant, turn_id)
        record, events = await self._parts.store.read(work)
        known = _answered(events, response, thinned=record.thinned)
        if known:
            return known
        if wait is None and record.turn.state == pb.TURN_STATE_WAITING:
            await self._engine.refuse(tenant, record.turn)
        if wait is None:
            raise FailedPrecondition("the turn does not wait for an answer")
        return await wait.take(response)

    async def _last_turn(self, tenant: Tenant, agent_id: str, conversation_id: str) -> str:
        """The conversation's newest turn: its answers may be sent again when it no longer waits."""
        query = pb.ListTurnsRequest(agent_id=agent_id, conversation_id=conversation_id)
        page = paging.read(size=1, token="", query=("last",), order=type_pb2.SORT_ORDER_DESCENDING)
        found, _ = await self._parts.store.read(lambda c: turns.list_page(c, tenant, query, Window(page)))
        if not found:
            raise FailedPrecondition("no turn of this conversation waits for an answer")
        return found[0].id


def _answered(events: Sequence[TurnEvent], response: pb.ApprovalResponse, *, thinned: bool) -> int:
    """The number of the event with this answer; 0 if there is none. Raises: FailedPrecondition REQUEST_ID_REUSED."""
    wanted = TurnEvent(approval_response=response)
    if thinned:
        wanted = words.without(wanted)
    for event in events:
        if event.HasField("approval_response") and event.approval_response.request_id == response.request_id:
            if event.approval_response != wanted.approval_response:
                raise FailedPrecondition(
                    "request_id: was used before for another answer", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
                )
            return event.sequence
    return 0
