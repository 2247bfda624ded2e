"""How an answer that goes on ends: by itself, with its client, or with the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from gateway.rest import events
from gateway.rest.events import EventStream


class Client:
    """Takes what is sent; `leave` ends it, as a server tells."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.took_one = asyncio.Event()
        self._gone = asyncio.Event()
        self._body_is_left = True

    def leave(self) -> None:
        self._gone.set()

    async def receive(self) -> Message:
        if self._body_is_left:
            self._body_is_left = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.taken.append(message)
        if message.get("body"):
            self.took_one.set()


class Pieces:
    """One event, then nothing for ever, or the end."""

    def __init__(self, *, endless: bool) -> None:
        self.closed = False
        self._endless = endless

    async def made(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: 1\n\n"
            if self._endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_a_stream_that_ends_is_whole_and_its_task_goes_on() -> None:
    client, pieces = Client(), Pieces(endless=False)
    await EventStream(pieces.made()).deliver(client.receive, client.send)
    client.leave()
    for _ in range(3):
        await asyncio.sleep(0)
    assert [message.get("body") for message in client.taken] == [None, b"data: 1\n\n", b""]
    assert client.taken[-1]["more_body"] is False


async def test_a_client_that_leaves_ends_the_stream_and_nothing_else() -> None:
    client, pieces = Client(), Pieces(endless=True)
    after: list[bool] = []

    async def served() -> None:
        await EventStream(pieces.made()).deliver(client.receive, client.send)
        await asyncio.sleep(0)
        after.append(pieces.closed)

    task = asyncio.create_task(served())
    async with asyncio.timeout(5):
        await client.took_one.wait()
        client.leave()
        await task
    assert after == [True]


async def test_a_server_that_stops_ends_the_stream_as_it_ends_other_work() -> None:
    client, pieces = Client(), Pieces(endless=True)
    task = asyncio.create_task(EventStream(pieces.made()).deliver(client.receive, client.send))
    async with asyncio.timeout(5):
        await client.took_one.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert pieces.closed


async def test_a_stream_that_is_silent_is_pinged_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PING_SECONDS", 0.005)
    client, pieces = Client(), Pieces(endless=True)
    task = asyncio.create_task(EventStream(pieces.made(), b"ping").deliver(client.receive, client.send))
    async with asyncio.timeout(5):
        while [message.get("body") for message in client.taken].count(b"ping") < 2:
            client.took_one.clear()
            await client.took_one.wait()
        client.leave()
        await task
    taken = len(client.taken)
    await asyncio.sleep(0.02)
    assert len(client.taken) == taken
