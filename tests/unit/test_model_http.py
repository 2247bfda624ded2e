"""How an endpoint is reached: what is tried again, and what an answer may look like on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent_service.config import ModelEndpoint
from agent_service.models import failures
from agent_service.models.client import ModelClient
from agent_service.models.http import Http
from agent_service.models.sse import Reader
from agent_service.models.types import Deltas, ModelRequest, ToolMode
from triptych.errors import FailedPrecondition, Unavailable
from triptych.type.v1 import type_pb2

EVENTS = b'data: {"n": 1}\r\n\r\n: a comment\nevent: x\ndata: {"n":\ndata: 2}\n\ndata:{"n": 3}\n\ndata: [DONE]\n\n'


class Endpoint:
    """Answers each request with the next of `answers` (bytes; None hangs up), and counts its connections."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers, self.requests, self.connections = list(answers), 0, 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answers:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
            self.requests += 1
            answer = self.answers.pop(0)
            if answer is None:
                break
            writer.write(answer)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def endpoint(*answers: bytes | None) -> AsyncIterator[tuple[Endpoint, Http]]:
    served = Endpoint(*answers)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    http = Http(served.url, "")
    try:
        yield served, http
    finally:
        await http.close()
        server.close()


def answer(body: bytes, status: str = "200 OK", kind: str = "text/event-stream", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


async def told(http: Http) -> list[Any]:
    return [chunk async for chunk in http.stream("/chat/completions", b"{}")]


@pytest.mark.parametrize("size", [1, 2, 7, len(EVENTS)])
def test_events_are_the_same_in_whatever_pieces_they_come(size: int) -> None:
    reader = Reader()
    pieces = [EVENTS[at : at + size] for at in range(0, len(EVENTS), size)]
    found = [data for piece in pieces for data in reader.feed(piece)]
    assert found == [b'{"n": 1}', b'{"n":\n2}', b'{"n": 3}', b"[DONE]"]


def test_an_event_that_never_ends_is_cut_off() -> None:
    reader = Reader()
    for _ in range(32):
        assert list(reader.feed(b"x" * 1_000_000)) == []
    with pytest.raises(Unavailable, match="too long"):
        list(reader.feed(b"x"))


async def test_a_connection_serves_for_one_answer_after_the_other() -> None:
    async with endpoint(answer(EVENTS), answer(EVENTS)) as (served, http):
        assert await told(http) == await told(http) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert (served.requests, served.connections) == (2, 1)


async def test_an_answer_that_is_no_stream_is_one_event() -> None:
    async with endpoint(answer(b'{"choices": []}', kind="application/json")) as (_, http):
        assert await told(http) == [{"choices": []}]


@pytest.mark.parametrize("failed", [None, answer(b"busy", "503 Busy"), answer(b"slow", "429 Slow")])
async def test_a_failure_is_tried_again_twice(failed: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_service.models.http._FIRST_PAUSE_SECONDS", 0.01)
    async with endpoint(failed, failed, answer(EVENTS)) as (served, http):
        assert len(await told(http)) == 3
        assert served.requests == 3
    async with endpoint(failed, failed, failed, answer(EVENTS)) as (served, http):
        with pytest.raises(Unavailable):
            await told(http)
        assert served.requests == 3


async def test_what_the_endpoint_says_of_trying_again_is_heeded() -> None:
    never = answer(b"quota", "429 Slow", more="x-should-retry: false\r\n")
    soon = answer(b"slow", "503 Busy", more="retry-after: 0\r\n")
    async with endpoint(never) as (served, http):
        with pytest.raises(failures.Throttled, match="quota"):
            await told(http)
        assert served.requests == 1
    async with endpoint(soon, soon, answer(EVENTS)) as (served, http):
        async with asyncio.timeout(0.4):  # less than the first pause would be
            assert len(await told(http)) == 3
    much_later = answer(b"slow", "429 Slow", more="retry-after: 3600\r\n")
    async with endpoint(much_later, answer(EVENTS)) as (served, http):
        with pytest.raises(failures.Throttled):
            await told(http)
        assert served.requests == 1


@pytest.mark.parametrize("year", ["99999", "9" * 30])
async def test_a_date_to_try_again_that_there_is_none_of_says_nothing(year: str) -> None:
    strange = answer(b"slow", "429 Slow", more=f"retry-after: Fri, 31 Dec {year} 23:59:59 GMT\r\n")
    async with endpoint(strange, answer(b'{"a": 1}')) as (served, http):
        assert await http.get("/models") == {"a": 1}
        assert served.requests == 2


async def test_a_refusal_is_told_in_the_endpoints_words_and_not_tried_again() -> None:
    async with endpoint(answer(b'{"error": "no such model"}', "404 Not Found")) as (served, http):
        with pytest.raises(failures.Refused, match="no such model"):
            await told(http)
        assert served.requests == 1


@pytest.mark.parametrize(
    "said",
    [
        "prompt is too long: 208310 tokens > 200000 maximum",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "Please reduce the length of the messages or completion.",
        "the request exceeds the available context size",
    ],
)
@pytest.mark.parametrize("status", [400, 413, 500])
def test_too_long_is_understood_as_each_endpoint_says_it(said: str, status: int) -> None:
    assert failures.of_status(status, said).reason == type_pb2.ERROR_REASON_CONTEXT_OVERFLOW
    assert failures.of_status(429, said).reason == type_pb2.ERROR_REASON_MODEL_UNAVAILABLE


async def test_a_stream_that_just_stops_is_cut_off_unless_the_model_was_done() -> None:
    def stream(finish: str | None) -> bytes:
        said = {"choices": [{"index": 0, "delta": {"content": "well"}, "finish_reason": finish}]}
        return answer(f"data: {json.dumps(said)}\n\n".encode())

    async with endpoint(stream(None), stream("stop")) as (served, _):
        client = ModelClient(ModelEndpoint(served.url, "m", "", 8_000, 5.0, ToolMode.NATIVE))
        request = ModelRequest(model="m", messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(failures.CutOff):
            await client.complete(request, None)
        assert (await client.complete(request, None)).text == "well"
        await client.close()


async def test_an_answer_that_breaks_off_is_cut_off() -> None:
    broken = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    broken += b'10\r\ndata: {"n": 1}\n\n\r\n'
    async with endpoint(broken) as (_, http):
        with pytest.raises(failures.CutOff):
            await told(http)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_users_endpoint_leads_to_no_address_of_this_network(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_service.models.http._FIRST_PAUSE_SECONDS", 0.01)
    served = Endpoint(answer(EVENTS))
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    http = Http(f"http://{host}:{server.sockets[0].getsockname()[1]}/v1", "", public_only=True)
    with pytest.raises(Unavailable, match="can't be reached"):
        await told(http)
    assert served.connections == 0
    await http.close()
    server.close()


async def test_a_key_that_an_endpoint_repeats_is_told_to_nobody() -> None:
    key = "sk-very-secret"
    error = b'data: {"error": {"code": 403, "message": "bad key sk-very-secret of context"}}\n\n'
    for refused in (answer(error), answer(error[6:], kind="application/json"), answer(error, "401 Unauthorized")):
        async with endpoint(refused) as (served, _):
            client = ModelClient(ModelEndpoint(served.url, "m", key, 8_000, 5.0, ToolMode.NATIVE))
            with pytest.raises(failures.Refused, match="bad key … of context") as caught:
                await client.complete(ModelRequest(model="m", messages=[]), None)
            assert key not in caught.value.told
            await client.close()


async def test_a_key_that_is_no_secret_is_not_looked_for_in_words() -> None:
    async with endpoint(answer(b"context_length_exceeded", "400 Bad Request")) as (served, _):
        client = ModelClient(ModelEndpoint(served.url, "m", "x", 8_000, 5.0, ToolMode.NATIVE))
        with pytest.raises(FailedPrecondition, match="context_length_exceeded") as caught:
            await client.complete(ModelRequest(model="m", messages=[]), None)
        assert caught.value.reason == type_pb2.ERROR_REASON_CONTEXT_OVERFLOW
        await client.close()


async def test_where_a_models_thoughts_end_is_known_from_its_first_answer_on() -> None:
    pieces = [{"content": text} for text in ("hm", "</think>\n", "hi")]
    events = [{"choices": [{"delta": piece}]} for piece in pieces] + [{"choices": [{"finish_reason": "stop"}]}]
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    async with endpoint(answer(stream), answer(stream)) as (served, _):
        client = ModelClient(ModelEndpoint(served.url, "m", "", 8_000, 5.0, ToolMode.NATIVE))
        for shown in (["hm</think>\nhi", ""], ["hi", "hm"]):
            text, reasoning = list[str](), list[str]()
            deltas = Deltas(text.append, reasoning.append)
            made = await client.complete(ModelRequest(model="m", messages=[]), deltas)
            assert (made.text, made.reasoning) == ("hi", "hm")
            assert ["".join(text), "".join(reasoning)] == shown
        await client.close()
