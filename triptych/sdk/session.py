"""Many agents' turns over one connection. Asynchronous only: threads that share a `Triptych` share its connection."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import Message

from triptych.agent.v1 import turn_pb2
from triptych.errors import TriptychError, Unavailable, from_status
from triptych.gateway.v1 import gateway_pb2 as pb
from triptych.sdk.aio.transport import AsyncTransport
from triptych.sdk.aio.turns import AsyncTurns
from triptych.type.v1.type_pb2 import ErrorReason

_ACTIONS = {"StartTurn": "start", "ContinueTurn": "continue_turn"}
_PATH = "/triptych.gateway.v1.GatewayService/Session"


class AsyncSession(AsyncTurns):
    """`client.session()`: has what `client.turns` has; `send` and `stream` of any number of agents share one stream.

    `window`: events of one turn that the server sends before this program has read them. Who reads one turn slowly
    holds up no other. A connection that is lost is made anew, and each turn goes on where it was.

        async with client.session() as session:
            replies = await asyncio.gather(*(session.send(agent.id, "Good morning!") for agent in agents))
    """

    def __init__(self, transport: AsyncTransport, *, window: int = 64) -> None:
        super().__init__(transport)
        self._window = max(window, 2)
        self._ids = itertools.count(1)
        self._connection: _Connection | None = None

    async def close(self) -> None:
        """Leaves the turns that are under way to themselves."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _events(
        self, method: str, request: Message, response_type: type[Any], turn_id: str, last: int, deltas: bool
    ) -> AsyncIterator[turn_pb2.TurnEvent]:
        if self._connection is None or self._connection.broken:
            self._connection = _Connection(self._transport)
        connection, call_id = self._connection, str(next(self._ids))
        resume = turn_pb2.ResumeTurnRequest(turn_id=turn_id, after_sequence=last, deltas=deltas) if turn_id else None
        action = {"resume": resume} if turn_id else {_ACTIONS[method]: request}
        read, ended = 0, False
        inbox = connection.begin(call_id, pb.SessionRequest(call_id=call_id, window=self._window, **action))
        try:
            while isinstance(received := await inbox.get(), turn_pb2.TurnEvent):
                yield received
                read += 1
                if read == self._window // 2:
                    connection.say(pb.SessionRequest(call_id=call_id, credit=read))
                    read = 0
            ended = True
            if received is not None:
                raise received
        finally:
            connection.end(call_id, detach=not ended)


_Received = turn_pb2.TurnEvent | TriptychError | None


class _Connection:
    """One stream: hands each response to its call. When it breaks, every call hears of it, and it is not used again."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.broken = False
        # Neither can grow beyond what was asked for: an inbox holds a window, the outbox what calls have to say.
        self._inboxes: dict[str, asyncio.Queue[_Received]] = {}
        self._outbox: asyncio.Queue[pb.SessionRequest] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(transport))

    def begin(self, call_id: str, request: pb.SessionRequest) -> asyncio.Queue[_Received]:
        """Its events, then None or the error that it ended with."""
        inbox = self._inboxes[call_id] = asyncio.Queue()
        self.say(request)
        return inbox

    def say(self, request: pb.SessionRequest) -> None:
        self._outbox.put_nowait(request)

    def end(self, call_id: str, *, detach: bool) -> None:
        self._inboxes.pop(call_id, None)
        if detach:
            self.say(pb.SessionRequest(call_id=call_id, detach=True))

    async def close(self) -> None:
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self, transport: AsyncTransport) -> None:
        problem: TriptychError = Unavailable("the session has ended")
        try:
            async for response in transport.exchange(_PATH, self._requests(), pb.SessionResponse):
                inbox = self._inboxes.get(response.call_id)
                if inbox is not None:  # else it was left meanwhile
                    inbox.put_nowait(_ending(response.end) if response.HasField("end") else response.event)
        except TriptychError as error:
            problem = error
        finally:
            self.broken = True
            for inbox in self._inboxes.values():
                inbox.put_nowait(problem)

    async def _requests(self) -> AsyncIterator[Message]:
        while True:
            yield await self._outbox.get()


def _ending(end: pb.SessionEnd) -> TriptychError | None:
    if not end.HasField("error"):
        return None
    error = end.error
    reason = ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    return from_status(error.code, error.message, reason_name=reason, metadata=dict(error.metadata))
