# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Talking with an agent."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

from triptych.agent.v1 import turn_pb2 as pb
from triptych.errors import Cancelled, ResourceExhausted, TriptychError, Unavailable
from triptych.recall.v1.recall_pb2 import Message
from triptych.sdk.sync.pause import pause
from triptych.sdk.sync.transport import Transport
from triptych.sdk.reply import Reply

_SERVICE = "/triptych.agent.v1.TurnService/"
# How long a stream tries to go on with no event received, and how it waits in between.
_RESUME_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
# Of a started turn, what the next try mends: the way is cut, the server stops, or it gave a slow reader up.
_RESUMABLE = (Unavailable, Cancelled, ResourceExhausted)


class TurnFailed(TriptychError):
    """The turn ended in an error, whose `reason` and `message` these are. What was said is kept."""

    def __init__(self, turn: pb.Turn) -> None:
        super().__init__(turn.error.message, reason=turn.error.reason)
        self.turn = turn


class Turns:
    """`client.turns`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(
        self,
        agent_id: str,
        text: str,
        *,
        conversation_id: str = "",
        name: str = "",
        max_steps: int = 0,
        request_id: str | None = None,
    ) -> Reply:
        """Sends a message and waits for the answer.

        `request_id`: the same one never runs the turn twice. Raises: TurnFailed, NotFound, Aborted CONVERSATION_BUSY.

            reply = client.turns.send(agent.id, "My sister Eva moved to Lisbon.")
            print(reply.text)
        """
        messages: list[Message] = []
        events = self.stream(
            agent_id,
            text,
            conversation_id=conversation_id,
            name=name,
            max_steps=max_steps,
            request_id=request_id,
            deltas=False,
        )
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "message":
                messages.append(event.message)
            elif kind == "tool_result":
                messages.append(event.tool_result)
            elif kind == "done":
                if event.done.turn.HasField("error"):
                    raise TurnFailed(event.done.turn)
                return Reply(event.done.turn, messages)
        raise Unavailable("the stream ended before the turn did")

    def stream(
        self,
        agent_id: str,
        text: str,
        *,
        conversation_id: str = "",
        name: str = "",
        max_steps: int = 0,
        request_id: str | None = None,
        deltas: bool = True,
    ) -> Iterator[pb.TurnEvent]:
        """The turn's events as they happen, down to `done`; a lost connection is taken up where it broke.

        `deltas`: text as it is generated, beside the finished messages. Raises: NotFound, Aborted CONVERSATION_BUSY.

            for event in client.turns.stream(agent.id, "Hello"):
                print(event.text_delta.text, end="")
        """
        start = pb.StartTurnRequest(
            agent_id=agent_id,
            conversation_id=conversation_id,
            request_id=request_id or str(uuid.uuid4()),
            messages=[pb.InputMessage(text=text, name=name)],
            max_steps=max_steps,
            deltas=deltas,
        )
        turn_id, last, wait, heard = "", 0, _FIRST_PAUSE_SECONDS, time.monotonic()
        while True:
            problem: TriptychError = Unavailable("the stream ended before the turn did; it goes on at the server")
            try:
                for event in self._events(start, turn_id, last):
                    turn_id, last = event.turn_id, event.sequence or last
                    wait, heard = _FIRST_PAUSE_SECONDS, time.monotonic()
                    yield event
                    if event.HasField("done"):
                        return
            except _RESUMABLE as error:
                problem = error
            if not turn_id and not isinstance(problem, Unavailable):
                raise problem
            if time.monotonic() - heard > (_RESUME_SECONDS if turn_id else self._transport.timeout_seconds):
                raise problem
            pause(wait)
            wait = min(2 * wait, _LONGEST_PAUSE_SECONDS)

    def _events(self, start: pb.StartTurnRequest, turn_id: str, last: int) -> Iterator[pb.TurnEvent]:
        if not turn_id:
            for started in self._transport.stream(_SERVICE + "StartTurn", start, pb.StartTurnResponse):
                yield started.event
            return
        request = pb.ResumeTurnRequest(turn_id=turn_id, after_sequence=last, deltas=start.deltas)
        for response in self._transport.stream(_SERVICE + "ResumeTurn", request, pb.ResumeTurnResponse):
            yield response.event

    def get(self, turn_id: str) -> pb.Turn:
        """Raises: NotFound."""
        request = pb.GetTurnRequest(turn_id=turn_id)
        return (self._transport.unary(_SERVICE + "GetTurn", request, pb.GetTurnResponse)).turn

    def list(self, agent_id: str = "") -> Iterator[pb.Turn]:
        """Turns of an agent, or of all, newest first."""
        request = pb.ListTurnsRequest(agent_id=agent_id, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListTurns", request, pb.ListTurnsResponse)
            for turn in page.turns:
                yield turn
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def cancel(self, turn_id: str) -> pb.Turn:
        """Stops a turn; what its finished steps did stays. Raises: NotFound."""
        request = pb.CancelTurnRequest(turn_id=turn_id, request_id=str(uuid.uuid4()))
        return (self._transport.unary(_SERVICE + "CancelTurn", request, pb.CancelTurnResponse)).turn
