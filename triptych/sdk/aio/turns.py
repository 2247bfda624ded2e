"""Talking with an agent."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import Unavailable
from triptych.recall.v1 import recall_pb2 as recall
from triptych.sdk.aio.following import followed
from triptych.sdk.aio.transport import AsyncTransport
from triptych.sdk.reply import Reply, TurnFailed

_SERVICE = "/triptych.agent.v1.TurnService/"
_Response = TypeVar("_Response", pb.StartTurnResponse, pb.ContinueTurnResponse)


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
        model: str = "",
        client_tools: Sequence[pb.ClientTool] = (),
        request_id: str | None = None,
    ) -> Reply:
        """Sends a message and waits for the answer; or until the turn waits: then the reply has `pending_calls`.

        `image_urls`: images shown with the text, by http(s) or as data URLs. `client_tools`: tools that you run.
        `model`: a handle in place of the agent's, for this turn.
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
            model=model,
            client_tools=client_tools,
            request_id=request_id,
            deltas=False,
        )
        return await reply(events)

    async def stream(
        self,
        agent_id: str,
        text: str,
        *,
        conversation_id: str = "",
        name: str = "",
        image_urls: Sequence[str] = (),
        max_steps: int = 0,
        model: str = "",
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
            model=model,
            client_tools=client_tools,
            deltas=deltas,
        )
        follow = self._opener("StartTurn", start, pb.StartTurnResponse, deltas)
        async for event in followed(follow, start_seconds=self._transport.timeout_seconds):
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
        return await reply(events)

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
        follow = self._opener("ContinueTurn", request, pb.ContinueTurnResponse, deltas)
        async for event in followed(follow, start_seconds=self._transport.timeout_seconds):
            yield event

    async def start(
        self,
        agent_id: str,
        text: str,
        *,
        conversation_id: str = "",
        name: str = "",
        image_urls: Sequence[str] = (),
        max_steps: int = 0,
        request_id: str | None = None,
    ) -> pb.Turn:
        """Sends a message and does not wait: the turn is durable, and goes on by itself.

        `resume` gives its events, `get` its state. Raises: NotFound, Aborted CONVERSATION_BUSY.

            turn = await client.turns.start(agent.id, "Read everything about Lisbon.")
            async for event in client.turns.resume(turn.id):
                print(event.WhichOneof("event"))
        """
        events = self.stream(
            agent_id,
            text,
            conversation_id=conversation_id,
            name=name,
            image_urls=image_urls,
            max_steps=max_steps,
            request_id=request_id,
            deltas=False,
        )
        async for event in events:
            return await self.get(event.turn_id)
        raise Unavailable("the stream ended before the turn began")

    async def resume(
        self, turn_id: str, *, after_sequence: int = 0, deltas: bool = True
    ) -> AsyncIterator[pb.TurnEvent]:
        """Every event of a turn behind that `sequence`, then what happens, down to its end; of one that is over too.

        For a program that was started anew: one that runs on needs it not, as `stream` resumes by itself.
        Raises: NotFound.

            turn = await anext(client.turns.list(agent.id))
            async for event in client.turns.resume(turn.id, after_sequence=1):
                print(event.WhichOneof("event"))
        """
        events = followed(
            self._opener("ResumeTurn", pb.StartTurnRequest(), pb.StartTurnResponse, deltas),
            start_seconds=self._transport.timeout_seconds,
            turn_id=turn_id,
            after_sequence=after_sequence,
        )
        async for event in events:
            yield event

    def _opener(
        self, method: str, request: Message, response_type: type[_Response], deltas: bool
    ) -> Callable[[str, int], AsyncIterator[pb.TurnEvent]]:
        """What opens a stream of the turn that a request starts, or takes it up."""

        return lambda turn_id, last: self._events(method, request, response_type, turn_id, last, deltas)

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
        """Stops a turn; what its finished steps did stays.

        Raises: NotFound.

            turn = await client.turns.start(agent.id, "Hello!")
            await client.turns.cancel(turn.id)
        """
        request = pb.CancelTurnRequest(turn_id=turn_id, request_id=str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "CancelTurn", request, pb.CancelTurnResponse)).turn


async def reply(events: AsyncIterator[pb.TurnEvent]) -> Reply:
    """The reply that the events make. Raises: TurnFailed."""
    messages: list[recall.Message] = []
    turn: pb.Turn | None = None
    async for event in events:
        kind = event.WhichOneof("event")
        if kind == "message":
            messages.append(event.message)
        elif kind == "tool_result":
            messages.append(event.tool_result)
        elif kind == "approval_request":
            turn = event.approval_request.turn
        elif kind == "done":
            turn = event.done.turn
    if turn is None:
        raise Unavailable("the stream ended before the turn did")
    if turn.HasField("error"):
        raise TurnFailed(turn)
    return Reply(turn, messages)
