"""A model that answers at once, in a process of its own: what it costs is not counted to anybody else.

python -m benchmarks.instant_model   (prints its URL)

It speaks as much of the OpenAI format as a turn needs. A model called `waits-SECONDS` thinks for so long first.
`GET /v1/newest` gives the body of the newest request, to be sent again.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MODEL = "instant"
ANSWER = ("I ", "see ", "what ", "you ", "mean, ", "and ", "I ", "will ", "remember ", "it.")
_newest = b"{}"


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end]).decode()
            length = _length(head)
            if len(self._received) < end + 4 + length:
                return
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            self._answer(head.partition("\r\n")[0], body)

    def _answer(self, request: str, body: bytes) -> None:
        global _newest
        if "/chat/completions" not in request:
            listed = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()
            self._send(_whole(_newest if "/newest" in request else listed))
            return
        _newest = body
        model = json.loads(body)["model"]
        seconds = float(model.removeprefix("waits-")) if model.startswith("waits-") else 0.0
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._send, _STREAM)
        else:
            self._send(_STREAM)

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _length(head: str) -> int:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def _event(**content: object) -> bytes:
    made = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, **content}
    return _chunk(b"data: " + json.dumps(made).encode() + b"\n\n")


def _stream() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    for piece in ANSWER:
        yield _event(choices=[{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
    yield _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    yield _event(choices=[], usage={"prompt_tokens": 1500, "completion_tokens": 10, "total_tokens": 1510})
    yield _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


_STREAM = b"".join(_stream())


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=1000)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


@contextmanager
def instant_model() -> Iterator[str]:
    """Its URL, up to and with /v1."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.instant_model"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
