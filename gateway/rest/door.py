"""What every request passes first: size, key, deadline; and how errors look."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import orjson
import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.audit import AuditLog
from gateway.auth.keys import USER_HEADER, Authenticator
from gateway.rest import bodies, events
from gateway.usage.admission import Admission
from servicekit import deadline, logs, principal, rpc
from servicekit.channel import MAX_MESSAGE_BYTES
from servicekit.principal import Tenant
from servicekit.watch import Watch
from triptych.errors import InvalidArgument, TriptychError

_log = structlog.get_logger("rest")
_PUBLIC = ("/v1/health", "/docs", "/openapi.json", "/swagger-static")
# A turn may take many model calls; everything else is over in a moment.
_SECONDS = 3600.0
_RECEIVE_SECONDS = 60.0
# What tells a browser not to guess, frame, keep or tell on.
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_ONLY_SECURE = (b"strict-transport-security", b"max-age=31536000")
_IDENTIFYING = ("authorization", USER_HEADER)
_ONCE = (*_IDENTIFYING, "content-length")
# Of a request's headers, those that are looked at here.
_READ = {name.encode(): name for name in (*_ONCE, "content-type", "transfer-encoding")}


class Door:
    """ASGI middleware around the whole app. Trailing slashes are dropped, so both forms of a path work."""

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, admission: Admission, audit: AuditLog, *, secure: bool
    ) -> None:
        self._app, self._authenticator, self._admission = app, authenticator, admission
        self._audit = audit
        self._added = (*_SECURITY_HEADERS, _ONLY_SECURE) if secure else _SECURITY_HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started, status = time.perf_counter(), 0
        path = scope["path"].rstrip("/") or "/"
        scope["path"] = path

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._with_added(message.get("headers", ()))
            await send(message)

        try:
            headers = _headers(scope)
            _check_length(headers)
            public = path == "/" or path.startswith(_PUBLIC)
            if not public:
                await self._enter(headers)
            deadline.bind(_SECONDS)
            body = await self._body(headers, receive)
            if public:
                await self._app(scope, body, noting_send)
                return
            if _has_body(headers):
                await self._identify(headers)  # again: the key may have been revoked while the body was waited for
            async with self._watched(headers):
                async with self._admission.slot(principal.tenant()):
                    await self._app(scope, body, noting_send)
                if (stream := events.left_to_deliver(scope)) is not None:
                    scope["headers"].clear()  # nobody reads them any more
                    await stream.deliver(body, noting_send)
        except Exception as error:
            if status:  # a stream has begun: all that can still be done is to cut it
                raise
            mapped = rpc.to_error(error)
            await error_answer(mapped)(scope, receive, noting_send)
        finally:
            self._note(scope, status, 1e3 * (time.perf_counter() - started))

    @asynccontextmanager
    async def _watched(self, headers: dict[str, str]) -> AsyncIterator[None]:
        """Around what a request does, which ends when its key is revoked. Raises: Unauthenticated, PermissionDenied."""
        watch = Watch(lambda: self._authenticator.identify(_identifying(headers)))
        try:
            yield
        except asyncio.CancelledError as cancelled:
            if watch.settle(cancelled) is cancelled or watch.ended_by is None:
                raise
            raise watch.ended_by from cancelled
        finally:
            watch.stop()

    def _note(self, scope: Scope, status: int, milliseconds: float) -> None:
        """One line in the log, and what was written in the audit log."""
        method, route = scope["method"], getattr(scope.get("route"), "path", "")
        tenant = _tenant()
        _log.info("rest", method=method, route=route, status=status, ms=round(milliseconds, 2), tenant=tenant)
        self._audit.http(method, route, status, map(str, scope.get("path_params", {}).values()))

    async def _body(self, headers: dict[str, str], receive: Receive) -> Receive:
        """Raises: as `bodies.read`; TimeoutError for one that does not come."""
        if not _has_body(headers):
            return await bodies.read(receive, "")
        async with asyncio.timeout(_RECEIVE_SECONDS):
            return await bodies.read(receive, headers.get("content-type", ""))

    def _with_added(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """With the headers that every answer has; what a route has set itself stays."""
        own = list(headers)
        there = {name.lower() for name, _ in own}
        return own + [(name, value) for name, value in self._added if name not in there]

    async def _enter(self, headers: dict[str, str]) -> None:
        """Raises: Unauthenticated, PermissionDenied, InvalidArgument, NotFound, ResourceExhausted."""
        await self._admission.request(await self._identify(headers))

    async def _identify(self, headers: dict[str, str]) -> Tenant:
        """Raises: Unauthenticated, PermissionDenied, InvalidArgument, NotFound."""
        caller = (await self._authenticator.identify(_identifying(headers))).principal
        principal.bind(caller)
        return caller.tenant


def _identifying(headers: dict[str, str]) -> dict[str, str]:
    return {name: headers.get(name, "") for name in _IDENTIFYING}


def error_answer(error: TriptychError) -> Response:
    """The error as HTTP, with `Retry-After` if it is known."""
    response = error_response(error.http_status, error.message)
    if error.retry_seconds is not None:
        response.headers["retry-after"] = str(max(1, math.ceil(error.retry_seconds)))
    return response


def error_response(status: int, detail: object) -> Response:
    """`{"detail": …}`."""
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return Response(orjson.dumps({"detail": detail}), status, headers, media_type="application/json")


def _headers(scope: Scope) -> dict[str, str]:
    """Raises: InvalidArgument for two headers where one has to say who calls."""
    found: dict[str, str] = {}
    for raw_name, value in scope["headers"]:
        name = _READ.get(raw_name)
        if name is None:
            continue
        if name in found and name in _ONCE:
            raise InvalidArgument(f"the header {name} is there more than once")
        try:
            found[name] = value.decode()
        except UnicodeDecodeError:
            found[name] = value.decode("latin-1")
    return found


def _has_body(headers: dict[str, str]) -> bool:
    return "content-length" in headers or "transfer-encoding" in headers


def _check_length(headers: dict[str, str]) -> None:
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_MESSAGE_BYTES:
        raise bodies.TooLarge


def _tenant() -> str:
    try:
        return logs.hashed(principal.tenant())
    except TriptychError:
        return ""
