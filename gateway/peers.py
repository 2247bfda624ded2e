"""Calls to the tiers as a caller's: within its quotas and in its turn, with what was used going to the book."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import grpc

from gateway import audit_trail
from gateway.usage.admission import Admission
from gateway.usage.book import UsageBook
from servicekit import principal, resources
from servicekit.channel import LASTING_OPTIONS, Peer
from servicekit.principal import Principal, Signer, Tenant
from triptych.errors import Unavailable

Request = TypeVar("Request")
Response = TypeVar("Response")
# Before a stream that could not begin is tried again; behind the last it is given up.
_PAUSES_SECONDS = (0.05, 0.15, 0.45, None)


class NamedMethods:
    """Stands in for a channel when a stub is made of it, and remembers which method is which."""

    def __init__(self, channel: grpc.aio.Channel, lasting: grpc.aio.Channel) -> None:
        """`lasting`: the channel of methods that answer with a stream."""
        self._channel, self._lasting = channel, lasting
        self.names: dict[Any, str] = {}

    def __getattr__(self, kind: str) -> Any:
        channel = self._lasting if kind == "unary_stream" else self._channel

        def made(path: str, *arguments: Any, **options: Any) -> Any:
            method = getattr(channel, kind)(path, *arguments, **options)
            self.names[method] = path
            return method

        return made


class CallersPeer(Peer):
    """Make stubs of `methods`. Each call may raise ResourceExhausted."""

    def __init__(self, audience: str, address: str, signer: Signer, book: UsageBook, admission: Admission) -> None:
        super().__init__(audience, address, signer, book)
        self._admission = admission
        self._lasting = grpc.aio.insecure_channel(address, options=LASTING_OPTIONS)
        self.methods: Any = NamedMethods(self.channel, self._lasting)

    @asynccontextmanager
    async def short(self, name: str, caller: Principal | None = None) -> AsyncIterator[None]:
        """Around a forwarded call that is over in a moment: it waits for its turn."""
        tenant = (caller or principal.current()).tenant
        async with self._admission.call(tenant, name), self._admission.slot(tenant):
            yield

    def long(self, name: str, caller: Principal | None = None) -> AbstractAsyncContextManager[None]:
        """Around a call that streams."""
        return self._admission.call((caller or principal.current()).tenant, name)

    def note(self, metadata: grpc.aio.Metadata, tenant: Tenant) -> None:
        super().note(metadata, tenant)
        for name, value in metadata:
            if name == resources.METADATA_KEY:
                audit_trail.touched(resources.read(str(value)))

    async def unary(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        caller: Principal | None = None,
        seconds: float = 30.0,
    ) -> Response:
        # Its turn was waited for by the request that this is a part of.
        async with self.long(self.methods.names[method], caller):
            return await super().unary(method, request, caller=caller, seconds=seconds)

    async def stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        *,
        caller: Principal | None = None,
        seconds: float = 3600.0,
    ) -> AsyncGenerator[Response]:
        async with self.long(self.methods.names[method], caller):
            for pause in _PAUSES_SECONDS:
                begun = False
                try:
                    async for response in super().stream(method, request, caller=caller, seconds=seconds):
                        begun = True
                        yield response
                    return
                except Unavailable:
                    if begun or pause is None:
                        raise
                await asyncio.sleep(pause)

    async def close(self) -> None:
        await super().close()
        await self._lasting.close()

    async def exchange(
        self,
        method: grpc.aio.StreamStreamMultiCallable[Request, Response],
        requests: AsyncIterator[Request],
        *,
        caller: Principal | None = None,
        seconds: float = 3600.0,
    ) -> AsyncGenerator[Response]:
        async with self.long(self.methods.names[method], caller):
            async for response in super().exchange(method, requests, caller=caller, seconds=seconds):
                yield response
