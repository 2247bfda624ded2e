"""Serves `GatewayService.Session`: calls side by side on one stream, each with a window of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing

import grpc

from gateway.backends import Backends
from gateway.session.calls import Turns, Wanted, wanted
from gateway.session.credit import Credit
from servicekit import principal, resources, rpc
from servicekit.rpc import Authenticate, Context, Metadata
from triptych.errors import InvalidArgument, ResourceExhausted, TriptychError
from triptych.gateway.v1 import gateway_pb2 as pb

_MOST_CALLS = 1000
_LONGEST_ID = 100
# Responses that wait for the connection; each call adds one at a time, and waits for its place.
_OUTBOX = 16
# Is told each call's method, how it ended, and which resources it names.
Ended = Callable[[str, str, Sequence[str]], None]


class Sessions:
    """`authenticate` is asked again with every call, so that a key which was revoked begins nothing more.

    `ended`: is told of each call what the guard tells of a call that came by itself.
    """

    def __init__(self, backends: Backends, authenticate: Authenticate, ended: Ended) -> None:
        self._turns, self._authenticate, self._ended = Turns(backends), authenticate, ended

    async def serve(self, requests: AsyncIterator[pb.SessionRequest], context: Context) -> AsyncIterator[bytes]:
        """Encoded SessionResponses. Raises: InvalidArgument for a request that no call can be made of."""
        session = _Session(self._turns, self._authenticate, self._ended, dict(context.invocation_metadata() or ()))
        async with aclosing(session.run(requests)) as responses:
            async for response in responses:
                yield response


class _Session:
    def __init__(self, turns: Turns, authenticate: Authenticate, ended: Ended, metadata: Metadata) -> None:
        self._turns, self._authenticate, self._ended, self._metadata = turns, authenticate, ended, metadata
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue(_OUTBOX)
        self._credits: dict[str, Credit] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self, requests: AsyncIterator[pb.SessionRequest]) -> AsyncGenerator[bytes, None]:
        reading = asyncio.create_task(self._read(requests))
        try:
            while (response := await self._outbox.get()) is not None:
                yield response
            await reading
        finally:
            running = [reading, *self._tasks.values()]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[pb.SessionRequest]) -> None:
        """Until the client has no more requests, and all its calls have ended."""
        try:
            async for request in requests:
                await self._take(request)
            while self._tasks:
                await asyncio.wait(list(self._tasks.values()))
        finally:
            await self._outbox.put(None)

    async def _take(self, request: pb.SessionRequest) -> None:
        call_id, kind = request.call_id, request.WhichOneof("action")
        if not 1 <= len(call_id) <= _LONGEST_ID:
            raise InvalidArgument.of("call_id", f"must be 1 to {_LONGEST_ID} characters")
        call = wanted(request)
        if call is not None:
            await self._begin(call_id, call, request.window)
        elif kind == "credit":
            if call_id in self._credits:  # else it has ended meanwhile
                self._credits[call_id].add(request.credit)
        elif kind == "detach":
            await self._detach(call_id)
        else:
            raise InvalidArgument.of("action", "must be given")

    async def _begin(self, call_id: str, call: Wanted, window: int) -> None:
        if call_id in self._tasks:
            raise InvalidArgument.of("call_id", "is a call's that has not ended")
        if len(self._tasks) >= _MOST_CALLS:
            await self._outbox.put(_ended(call_id, ResourceExhausted(f"a session has at most {_MOST_CALLS} calls")))
            return
        self._credits[call_id] = Credit(window)
        self._tasks[call_id] = asyncio.create_task(self._call(call_id, call, self._credits[call_id]))

    async def _detach(self, call_id: str) -> None:
        task = self._tasks.pop(call_id, None)
        if task is not None:  # else it has ended meanwhile
            del self._credits[call_id]
            task.cancel()
            await self._outbox.put(_ended(call_id, None))

    async def _call(self, call_id: str, call: Wanted, credit: Credit) -> None:
        problem: TriptychError | None = None
        code = grpc.StatusCode.CANCELLED  # if it is detached, or the session ends
        try:
            await self._forward(call_id, call, credit)
            code = grpc.StatusCode.OK
        except Exception as error:  # whatever it is ends this call and no other; `to_error` logs the unexpected
            problem = rpc.to_error(error)
            code = problem.code
        finally:
            self._ended(call.method, code.name, list(resources.named(call.request)))
        # Only then is it over: the end of all calls must not overtake it.
        await self._outbox.put(_ended(call_id, problem))
        del self._tasks[call_id], self._credits[call_id]

    async def _forward(self, call_id: str, call: Wanted, credit: Credit) -> None:
        principal.bind(await self._authenticate(self._metadata, call.method))
        mark = pb.SessionResponse(call_id=call_id).SerializeToString()
        async with aclosing(self._turns.responses(call)) as responses:
            while True:
                # Before anything is read, so that nothing of a slow reader's is held here.
                await credit.take()
                try:
                    response = await anext(responses)
                except StopAsyncIteration:
                    return
                await self._outbox.put(response + mark)


def _ended(call_id: str, problem: TriptychError | None) -> bytes:
    end = pb.SessionEnd()
    if problem is not None:
        end.error.code = problem.code.value[0]
        end.error.reason = problem.reason
        end.error.message = problem.message
        end.error.metadata.update(problem.metadata)
    return pb.SessionResponse(call_id=call_id, end=end).SerializeToString()
