"""A real HTTP server that speaks the OpenAI chat format and does what the newest user message says.

[[call:NAME {json}]]   call a tool; several are several steps, in order
[[calls:NAME {json} && NAME {json}]]   several calls in one step
[[raw:NAME text]]      call a tool with arguments that need not be JSON
[[say:TEXT]]           the final answer; else "ok: " and the message without its directives
[[recite]]             answer with the whole system prompt
[[wait]]  [[wait:N]]   hang until the test calls `release`; N: only after that many tool calls
[[status:CODE]]        answer with that HTTP status
[[garbage]] [[cut]]    answer with what is not JSON; break the stream off in the middle
[[loop:NAME {json}]]   call the tool for ever

What is in `printed` comes before all that, one text an answer, piece by piece; what is in `refusals` even before that.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "scripted-1"
_DIRECTIVE = re.compile(r"\[\[(\w+)(?::(.*?))?\]\]", re.DOTALL)
Json = dict[str, Any]


class ScriptedModel:
    """`start` it, give its `url` to a server, read what it was sent from `requests`."""

    def __init__(self) -> None:
        self.reset()
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._started = threading.Event()

    def reset(self) -> None:
        """As it was made: it has heard nothing, and nothing is scripted."""
        self.requests: list[Json] = []
        self.bodies: list[bytes] = []
        # The `Authorization` of each request.
        self.authorizations: list[str] = []
        # Tokens (four bytes each) that it takes; a longer request is refused as real endpoints do. 0: any.
        self.context_window = 0
        # What it answers when it is asked for a summary; '' for an error.
        self.summary = "what was said before"
        # What it does in a sleep-time turn, whatever was said: directives, as above.
        self.asleep = ""
        # Whether a request for a summary hangs until the test calls `release`.
        self.holds_summaries = False
        # Texts to answer with, as a model does whose endpoint reads no calls in them.
        self.printed: list[str] = []
        # Streams to answer with, byte for byte, one an answer: `chunk` makes their parts.
        self.streams: list[AsyncIterator[bytes]] = []
        # Of each answer: how many pieces of it come before the connection breaks off. None: all.
        self.cuts: list[int | None] = []
        # Names of models that it does not have.
        self.lacks: set[str] = set()
        # Answered before anything else: status and headers, one a request.
        self.failures: list[tuple[int, dict[str, str]]] = []
        # By what a request must not have (`tools`, `stream_options`, …; `roles`, `images`): what it is refused with.
        self.refusals: dict[str, str] = {}
        self.reports_usage = True
        self.waiting = threading.Event()
        self._released = threading.Event()

    def start(self) -> ScriptedModel:
        self._server.startup = self._noting(self._server.startup)  # type: ignore[method-assign]
        self._thread.start()
        assert self._started.wait(20), "the scripted model did not start"
        return self

    def _noting(self, startup: Any) -> Any:
        async def noting(*args: Any, **kwargs: Any) -> None:
            await startup(*args, **kwargs)
            self._started.set()

        return noting

    def stop(self) -> None:
        self._released.set()
        self._server.should_exit = True
        self._thread.join(10)

    def release(self) -> None:
        """Lets every hanging answer go on."""
        self._released.set()

    @property
    def url(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    async def _models(self, _request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def _refusal(self, body: Json) -> Response | None:
        """What is answered in place of an answer."""
        if self.failures:
            status, headers = self.failures.pop(0)
            return JSONResponse({"error": {"message": "as scripted"}}, status, headers)
        if body["model"] in self.lacks:
            return JSONResponse({"error": {"message": f"there is no model {body['model']}"}}, 404)
        for name, told in self.refusals.items():
            if name in body or (name in _REFUSED and _REFUSED[name](body["messages"])):
                return JSONResponse({"error": {"message": told}}, 400)
        if 0 < self.context_window < _tokens(body):
            told = f"This model's maximum context length is {self.context_window} tokens"
            return JSONResponse({"error": {"message": told, "code": "context_length_exceeded"}}, 400)
        return None

    async def _chat(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.authorizations.append(request.headers.get("authorization", ""))
        body = json.loads(self.bodies[-1])
        self.requests.append(body)
        if refusal := self._refusal(body):
            return refusal
        if asks_for_summary(body):
            if self.holds_summaries and not self._released.is_set():
                self.waiting.set()
                await asyncio.to_thread(self._released.wait, 60)
            if not self.summary:
                return JSONResponse({"error": {"message": "no summary, as scripted"}}, 400)
            return StreamingResponse(_stream({"content": self.summary}), media_type="text/event-stream")
        if self.streams:
            return StreamingResponse(self.streams.pop(0), media_type="text/event-stream")
        said = self.asleep if is_asleep(body) else _newest_user_text(body["messages"])
        directives = _DIRECTIVE.findall(said)
        names = {name for name, _ in directives}
        done = _calls_since_user(body["messages"])
        for name, value in directives:
            if name == "wait" and int(value or done) == done and not self._released.is_set():
                self.waiting.set()
                await asyncio.to_thread(self._released.wait, 60)
            if name == "status":
                return JSONResponse({"error": {"message": "as scripted"}}, int(value))
        if "garbage" in names:
            return PlainTextResponse("data: this is not JSON\n\n", media_type="text/event-stream")
        delta = {"content": self.printed.pop(0)} if self.printed else _delta(body, said, directives)
        cut = self.cuts.pop(0) if self.cuts else 1 if "cut" in names else None
        stream = _stream(delta, cut=cut, prompt_tokens=_tokens(body) if self.reports_usage else None)
        return StreamingResponse(stream, media_type="text/event-stream")


def _delta(body: Json, said: str, directives: list[tuple[str, str]]) -> Json:
    """The whole answer as one delta: text, or a tool call."""
    calls = [(name, value) for name, value in directives if name in ("call", "calls", "raw", "loop")]
    done = _calls_since_user(body["messages"])
    for position, (kind, value) in enumerate(calls):
        if kind == "loop" or position == done:
            made = value.split(" && ") if kind == "calls" else [value]
            return {"tool_calls": [_call(done, index, each) for index, each in enumerate(made)]}
    if any(name == "recite" for name, _ in directives):
        return {"content": body["messages"][0]["content"]}
    for name, value in directives:
        if name == "say":
            return {"content": value}
    return {"content": "ok: " + _DIRECTIVE.sub("", said).strip()}


def asks_for_summary(body: Json) -> bool:
    """Whether a request is for a conversation's summary."""
    return str(body["messages"][0]["content"]).startswith("You keep the memory of a long conversation")


def is_asleep(body: Json) -> bool:
    """Whether a request is a sleep-time turn's."""
    return str(body["messages"][0]["content"]).startswith("You keep the memory of an assistant while it rests")


def _tokens(body: Json) -> int:
    texts = [_text(message.get("content") or json.dumps(message.get("tool_calls", ""))) for message in body["messages"]]
    return len(json.dumps(body.get("tools", [])).encode()) // 4 + sum(4 + len(text.encode()) // 4 for text in texts)


def _call(step: int, index: int, value: str) -> Json:
    tool, _, arguments = value.partition(" ")
    call_id = f"call-{step}-{index}" if index else f"call-{step}"
    return {"index": index, "id": call_id, "function": {"name": tool, "arguments": arguments}}


async def _stream(delta: Json, *, cut: int | None = None, prompt_tokens: int | None = 100) -> AsyncIterator[bytes]:
    text = delta.get("content")
    pieces = [delta] if text is None else [{"content": piece} for piece in re.findall(r"\S+\s*|\s+", text)]
    for number, piece in enumerate(pieces):
        if number == cut:
            raise ConnectionResetError("as scripted")
        yield chunk({"choices": [{"index": 0, "delta": piece, "finish_reason": None}]})
    finish = "tool_calls" if text is None else "stop"
    yield chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if prompt_tokens is not None:
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 10, "total_tokens": prompt_tokens + 10}
        yield chunk({"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def chunk(content: Json) -> bytes:
    """A server-sent event with a part of an answer."""
    return (
        b"data: "
        + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": MODEL, **content}).encode()
        + b"\n\n"
    )


def _roles_do_not_alternate(messages: list[Json]) -> bool:
    roles = [message["role"] for message in messages]
    behind = roles[1:] if roles[0] == "system" else roles
    return "system" in behind or any(one == two for one, two in itertools.pairwise(behind))


def _shows_images(messages: list[Json]) -> bool:
    return any(isinstance(message["content"], list) for message in messages)


# What a request may be refused for beside its parameters.
_REFUSED = {"roles": _roles_do_not_alternate, "images": _shows_images}


def _newest_user_text(messages: list[Json]) -> str:
    return next((_text(m["content"]) for m in reversed(messages) if m["role"] == "user"), "")


def _text(content: str | list[Json]) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def _calls_since_user(messages: list[Json]) -> int:
    count = 0
    for message in reversed(messages):
        if message["role"] == "user":
            break
        count += bool(message.get("tool_calls"))
    return count
