"""Talking with an agent."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import Cancelled, ResourceExhausted, TriptychError, Unavailable
from triptych.recall.v1 import recall_pb2 as recall
from triptych.sdk.aio.pause import pause
from triptych.sdk.aio.transport import AsyncTransport
from triptych.sdk.reply import Reply, TurnFailed

_SERVICE = "/triptych.agent.v1.TurnService/"
_ENDS = ("done", "approval_request")
_Response = TypeVar("_Response", pb.StartTurnResponse, pb.ContinueTurnResponse)
# How long a stream tries to go on with no event received, and how it waits in between.
_RESUME_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
# Of a started turn, what the next try mends: the way is cut, the server stops, or it gave a slow reader up.
_RESUMABLE = (Unavailable, Cancelled, ResourceExhausted)


class AsyncTurns:
    """`client.turns`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def send(
        self,
        agent_id: str,
        text: str,
        *,
        conversation_id: str = "",
        name: str = "",
        image_urls: Sequence[str] = (),
        max_steps: int = 0,
        client_tools: Sequence[pb.ClientTool] = (),
        request_id: str | None = None,
    ) -> Reply:
        """Sends a message and waits for the answer; or until the turn waits: then the reply has `pending_calls`.

        `image_urls`: images shown with the text, by http(s) or as data URLs. `client_tools`: tools that you run.
        `request_id`: the same one never runs the turn twice. Raises: TurnFailed, NotFound, Aborted CONVERSATION_BUSY,
        FailedPrecondition TURN_WAITING.

            reply = await client.turns.send(agent.id, "My sister Eva moved to Lisbon.")
            print(reply.text)
        """
        events = self.stream(
            agent_id,
            text,
            conversation_id=conversation_id,
            name=name,
            image_urls=image_urls,
            max_steps=max_steps,
            client_tools=client_tools,
            request_id=request_id,
            deltas=False,
        )
        return await _reply(events)

    async def stream(
        self,
        agent_id: str,
        text: str,
        *,
        conversation_id: str = "",
        name: str = "",
        image_urls: Sequence[str] = (),
        max_steps: int = 0,
        client_tools: Sequence[pb.ClientTool] = (),
        request_id: str | None = None,
        deltas: bool = True,
    ) -> AsyncIterator[pb.TurnEvent]:
        """The turn's events as they happen, down to `done`, or to the `approval_request` of a turn that waits.

        A lost connection is taken up where it broke.

        `deltas`: text as it is generated, beside the finished messages. Raises: NotFound, Aborted CONVERSATION_BUSY.

            async for event in client.turns.stream(agent.id, "Hello"):
                print(event.text_delta.text, end="")
        """
        start = pb.StartTurnRequest(
            agent_id=agent_id,
            conversation_id=conversation_id,
            request_id=request_id or str(uuid.uuid4()),
            messages=[pb.InputMessage(text=text, name=name, image_urls=image_urls)],
            max_steps=max_steps,
            client_tools=client_tools,
            deltas=deltas,
        )
        async for event in self._followed("StartTurn", start, pb.StartTurnResponse, deltas):
            yield event

    async def continue_turn(
        self,
        turn_id: str,
        *,
        approve: Sequence[str] = (),
        deny: Mapping[str, str] | None = None,
        returns: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> Reply:
        """Answers calls that a turn waits for, and waits for what comes of it.

        `approve`: ids of calls; `deny`: reasons by id; `returns`: what calls that you ran returned, by id. Raises:
        TurnFailed, NotFound, InvalidArgument for what is not pending, FailedPrecondition if the turn does not wait.

            reply = await client.turns.send(agent.id, "Delete the old plan.")
            if reply.pending_calls:
                reply = await client.turns.continue_turn(reply.turn.id, approve=[reply.pending_calls[0].call.id])
        """
        events = self.continue_stream(
            turn_id, approve=approve, deny=deny, returns=returns, request_id=request_id, deltas=False
        )
        return await _reply(events)

    async def continue_stream(
        self,
        turn_id: str,
        *,
        approve: Sequence[str] = (),
        deny: Mapping[str, str] | None = None,
        returns: Mapping[str, str] | None = None,
        request_id: str | None = None,
        deltas: bool = True,
    ) -> AsyncIterator[pb.TurnEvent]:
        """The same as events, from the answer on. Raises: as `continue_turn`, but for TurnFailed."""
        approvals = [pb.Approval(tool_call_id=call_id, approve=True) for call_id in approve]
        approvals += [pb.Approval(tool_call_id=call_id, reason=reason) for call_id, reason in (deny or {}).items()]
        request = pb.ContinueTurnRequest(
            turn_id=turn_id,
            request_id=request_id or str(uuid.uuid4()),
            approvals=approvals,
            tool_returns=[pb.ClientToolReturn(tool_call_id=i, text=text) for i, text in (returns or {}).items()],
            deltas=deltas,
        )
        async for event in self._followed("ContinueTurn", request, pb.ContinueTurnResponse, deltas):
            yield event

    async def _followed(
        self, method: str, request: Message, response_type: type[_Response], deltas: bool
    ) -> AsyncIterator[pb.TurnEvent]:
        """The events that a request starts, with the stream taken up again where it broke."""
        turn_id, last, wait, heard = "", 0, _FIRST_PAUSE_SECONDS, time.monotonic()
        while True:
            problem: TriptychError = Unavailable("the stream ended before the turn did; it goes on at the server")
            try:
                async for event in self._events(method, request, response_type, turn_id, last, deltas):
                    turn_id, last = event.turn_id, event.sequence or last
                    wait, heard = _FIRST_PAUSE_SECONDS, time.monotonic()
                    yield event
                    if event.WhichOneof("event") in _ENDS:
                        return
            except _RESUMABLE as error:
                problem = error
            if not turn_id and not isinstance(problem, Unavailable):
                raise problem
            if time.monotonic() - heard > (_RESUME_SECONDS if turn_id else self._transport.timeout_seconds):
                raise problem
            await pause(wait)
            wait = min(2 * wait, _LONGEST_PAUSE_SECONDS)

    async def _events(
        self, method: str, request: Message, response_type: type[_Response], turn_id: str, last: int, deltas: bool
    ) -> AsyncIterator[pb.TurnEvent]:
        if not turn_id:
            async for started in self._transport.stream(_SERVICE + method, request, response_type):
                yield started.event
            return
        resume = pb.ResumeTurnRequest(turn_id=turn_id, after_sequence=last, deltas=deltas)
        async for response in self._transport.stream(_SERVICE + "ResumeTurn", resume, pb.ResumeTurnResponse):
            yield response.event

    async def get(self, turn_id: str) -> pb.Turn:
        """Raises: NotFound."""
        request = pb.GetTurnRequest(turn_id=turn_id)
        return (await self._transport.unary(_SERVICE + "GetTurn", request, pb.GetTurnResponse)).turn

    async def list(self, agent_id: str = "", *, conversation_id: str = "") -> AsyncIterator[pb.Turn]:
        """Turns of an agent, or of all, newest first."""
        request = pb.ListTurnsRequest(agent_id=agent_id, conversation_id=conversation_id, page_size=100)
        while True:
            page = await self._transport.unary(_SERVICE + "ListTurns", request, pb.ListTurnsResponse)
            for turn in page.turns:
                yield turn
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def cancel(self, turn_id: str) -> pb.Turn:
        """Stops a turn; what its finished steps did stays. Raises: NotFound."""
        request = pb.CancelTurnRequest(turn_id=turn_id, request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "CancelTurn", request, pb.CancelTurnResponse)).turn


async def _reply(events: AsyncIterator[pb.TurnEvent]) -> Reply:
    """The reply that the events make. Raises: TurnFailed."""
    messages: list[recall.Message] = []
    async for event in events:
        kind = event.WhichOneof("event")
        if kind == "message":
            messages.append(event.message)
        elif kind == "tool_result":
            messages.append(event.tool_result)
        elif kind == "approval_request":
            return Reply(event.approval_request.turn, messages)
        elif kind == "done":
            if event.done.turn.HasField("error"):
                raise TurnFailed(event.done.turn)
            return Reply(event.done.turn, messages)
    raise Unavailable("the stream ended before the turn did")
