"""Where users may have this service connect to: not into the network that it stands in, unless its operator says so."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2

_NAT64 = IPv6Network("64:ff9b::/96")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class AddressRefused(Exception):
    """The text goes on where "The … server's" stops; it says nothing of what is in this network."""


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet, whatever form it is written or wrapped in."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        address = _wrapped(address) or address
    return address.is_global and not address.is_multicast


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


async def resolve(url: str, *, private: bool) -> str:
    """The address to connect to. `private`: it may be one of this network. Raises: AddressRefused."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise AddressRefused("URL must be http:// or https:// with a host.")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressRefused("host is not known.") from None
    addresses = [str(each[4][0]) for each in found]
    if not private and not all(map(is_public, addresses)):
        raise AddressRefused("address is not a public one, and this server does not allow others.")
    return addresses[0]


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for what `getaddrinfo` gave of a host. Raises: OSError if that is not a public address.

    It is asked right before it connects, so that a name can't lead elsewhere a moment later.
    """
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise OSError("the address is not a public one, and this server does not allow others")
    return socket.socket(family, kind, protocol)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to the address that was checked, so that a name can't lead elsewhere a moment later.

    `max_bytes`: what one response may bring.
    """

    def __init__(self, *, private: bool, max_bytes: int) -> None:
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)
        self._private, self._max_bytes = private, max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            address = await resolve(str(request.url), private=self._private)
        except AddressRefused as error:
            raise httpx2.ConnectError(str(error)) from error
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        response = await self._inner.handle_async_request(pinned)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, self._max_bytes)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._stream, self._left = stream, max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx2.ReadError("the answer is too large")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
