"""HTTP to one model's endpoint: connections, key, retries; what comes back is JSON, or a stream of JSON events.

By aiohttp, whose parser is C: a streamed answer costs 0.3 ms of CPU here, and 2.2 ms by the openai package.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import ssl
import time
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from agent_service import outbound
from agent_service.models import failures, sse

if TYPE_CHECKING:
    import aiohttp

# Of a call that got no answer, 408, 409, 429 or 5xx.
_RETRIES = 2
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 8.0
# An endpoint that asks for a longer pause is not waited for, nor asked again before.
_LONGEST_RETRY_AFTER_SECONDS = 60.0
_MOST_CONNECTIONS = 1_000
_MOST_ERROR_BYTES, _MOST_ANSWER_BYTES = 100_000, 64 * 1024 * 1024
_SHORTEST_KEY = 8
# How long the end of an answer is waited for behind its last event, so that the connection can be used again.
_END_SECONDS = 0.05


class Http:
    """One endpoint's. `api_key`: '' for one that wants none. Time limits are the caller's.

    `public_only`: None for the operator's own endpoint; one of a user's uses nothing of this environment, and if true
    leads to no address of this network.

    Its methods raise: FailedPrecondition (Refused; CONTEXT_OVERFLOW), Unavailable (Failed, Throttled, CutOff;
    MODEL_UNAVAILABLE, MODEL_GARBAGE).
    """

    def __init__(self, base_url: str, api_key: str, public_only: bool | None = None) -> None:
        self._base_url, self._api_key, self._public_only = base_url.rstrip("/"), api_key, public_only
        self._headers = {
            "authorization": f"Bearer {api_key or 'none'}",
            "content-type": "application/json",
            "user-agent": "triptych",
        }
        self._ssl: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    def warm_up(self) -> None:
        """Does what takes a moment before the first call; may run in a thread."""
        import aiohttp  # noqa: F401

        if self._ssl is None and self._base_url.startswith("https:"):
            self._ssl = _trust()

    async def get(self, path: str) -> Any:
        async with await self._answered("GET", path) as response:
            return await _whole(response)

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[Any, None]:
        """The events of the answer. One that is not a stream is a single event.

        Raises: also CutOff behind the last event, if the end was not announced by `[DONE]`.
        """
        import aiohttp

        async with await self._answered("POST", path, body) as response:
            if response.content_type == "application/json":
                yield self._without_key_in(await _whole(response))
                return
            try:
                async for data in sse.events(_bounded(response)):
                    if data.startswith(b"[DONE]"):
                        await _end(response)
                        return
                    yield self._without_key_in(_loads(data))
            except (aiohttp.ClientError, OSError) as error:
                raise failures.CutOff(type(error).__name__) from error
            raise failures.CutOff("before its end")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _answered(self, method: str, path: str, body: bytes | None = None) -> aiohttp.ClientResponse:
        """The first answer that is no failure, or that of the last attempt; its body is yet to be read."""
        import aiohttp

        for attempt in range(_RETRIES + 1):
            last, asked = attempt == _RETRIES, None
            try:
                response = await self._connected().request(method, self._base_url + path, data=body)
            except (aiohttp.ClientError, OSError) as error:
                if last:
                    raise failures.hung_up(error) from error
            else:
                if response.status < 400:
                    return response
                told = await _told(response)
                asked = _retry_after(response.headers)
                if last or not _may_retry(response) or (asked or 0) > _LONGEST_RETRY_AFTER_SECONDS:
                    raise failures.of_status(response.status, self._without_key(told))
            await asyncio.sleep(_pause(attempt) if asked is None else asked)
        raise AssertionError("the last attempt returns or raises")

    def _without_key(self, told: str) -> str:
        """Some endpoints repeat the key that they refuse; what they say gets into events and logs."""
        # What is shorter is no secret, and would be found in the middle of words.
        return told.replace(self._api_key, "…") if len(self._api_key) >= _SHORTEST_KEY else told

    def _without_key_in(self, event: Any) -> Any:
        """The same for an error that comes as an event."""
        if not (isinstance(event, dict) and event.get("error")):
            return event
        return _loads(self._without_key(json.dumps(event)).encode())

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self.warm_up()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_MOST_CONNECTIONS,
                    ssl=self._ssl or True,
                    socket_factory=outbound.public_socket if self._public_only else None,
                ),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                # Not trust_env: it would also look for a .netrc, with every request.
                proxy=_proxy(self._base_url) if self._public_only is None else None,
            )
        return self._session


def _proxy(url: str) -> str | None:
    """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say of it."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _trust() -> ssl.SSLContext:
    """The system's certificates (or SSL_CERT_FILE's), and certifi's, since not every Python finds the former."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _may_retry(response: aiohttp.ClientResponse) -> bool:
    if said := response.headers.get("x-should-retry"):
        return said == "true"
    return response.status in (408, 409, 429) or response.status >= 500


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds (RFC 9110, 10.2.3: a number, or a date); None if it does not say."""
    said = headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        date = email.utils.parsedate_tz(said)
        try:
            seconds = email.utils.mktime_tz(date) - time.time() if date is not None else -1.0
        except (ValueError, OverflowError):  # a year that there is none of
            return None
    return seconds if seconds >= 0 else None


def _pause(attempt: int) -> float:
    longest = min(_FIRST_PAUSE_SECONDS * 2.0**attempt, _LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.75, 1)


async def _told(response: aiohttp.ClientResponse) -> str:
    """An error's words, as far as they come."""
    import aiohttp

    async with response:
        try:
            return (await response.content.read(_MOST_ERROR_BYTES)).decode(errors="replace")
        except (aiohttp.ClientError, OSError):
            return ""


async def _bounded(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    left = _MOST_ANSWER_BYTES
    async for piece in response.content.iter_any():
        left -= len(piece)
        if left < 0:
            raise failures.garbage("it is too large")
        yield piece


async def _whole(response: aiohttp.ClientResponse) -> Any:
    import aiohttp

    received = bytearray()
    try:
        async for piece in _bounded(response):
            received += piece
    except (aiohttp.ClientError, OSError) as error:
        raise failures.CutOff(type(error).__name__) from error
    return _loads(bytes(received))


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:  # JSON may name halves of characters, which orjson refuses
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise failures.garbage(type(error).__name__) from None


async def _end(response: aiohttp.ClientResponse) -> None:
    """Takes what is behind the last event, if it comes at once: else the connection is closed with the answer."""
    try:
        async with asyncio.timeout(_END_SECONDS):
            await response.content.readany()
    except TimeoutError:
        return
