"""Which requests are an OpenAI client's, and its form of errors.

`GET /v1/models` is asked by two kinds of clients that want two answers: letta-client writes a slash behind it, the
`openai` packages don't. So without a slash it is theirs, as is all below `/openai/v1`, which can serve as base URL too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/openai/v1"
_THEIRS = re.compile(r"/v1(/chat/completions/?|/models|/models/(?!embedding/?$).+)")
_KINDS = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    409: ("conflict_error", None),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
_LENGTH_HEADER = b"content-length"


class OpenAiForm:
    """ASGI middleware, outermost: leads OpenAI's paths to their routes, and gives their errors OpenAI's form."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    # Not itself a coroutine, which a stream would keep for nothing.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope.get("path", "")
        if scope["type"] == "http" and _THEIRS.fullmatch(path):
            scope["path"] = path = "/openai" + path
        theirs = scope["type"] == "http" and path.startswith(PREFIX + "/")
        return self._app(scope, receive, _Translating(send) if theirs else send)


class _Translating:
    """Passes answers on, and holds an error's back until it is whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._failed: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._failed = message
        elif self._failed is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._answer(self._failed)

    async def _answer(self, start: Message) -> None:
        status = 400 if start["status"] == 422 else start["status"]
        body = orjson.dumps(error(status, orjson.loads(self._body).get("detail")))
        headers = [(name, value) for name, value in start["headers"] if name.lower() != _LENGTH_HEADER]
        headers.append((_LENGTH_HEADER, str(len(body)).encode()))
        await self._send({**start, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def error(status: int, detail: Any) -> dict[str, Any]:
    """`{"error": …}` of what our other routes answer as `{"detail": …}`: a sentence, or a list of problems."""
    kind, code = _KINDS.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    field = None
    if isinstance(detail, list) and detail:
        field = ".".join(str(part) for part in detail[0]["loc"][1:]) or None
        detail = detail[0]["msg"]
    return {"error": {"message": str(detail), "type": kind, "param": field, "code": code}}
