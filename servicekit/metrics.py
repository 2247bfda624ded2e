"""Metrics for Prometheus at `/metrics`, if an address for them is configured.

No message text, and no id of a user, an agent or anything of theirs, is ever a label.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from servicekit.rpc import Timed
from servicekit.server import PortInUse
from triptych.errors import TriptychError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

# Seconds. A read from memory takes one millisecond, a turn's stream minutes.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0)
# A store that does not answer within it is left out of what is told, and the rest is told.
_PATIENCE_SECONDS = 5.0

# Values by the names of gauges, as they are now. May raise TriptychError.
Read = Callable[[], Awaitable[Mapping[str, float]]]


class Metrics:
    """What a service tells Prometheus. Without an address nothing is measured, and nothing is imported for it."""

    def __init__(self) -> None:
        self.address = ""
        self.timed: Timed | None = None
        self._registry: CollectorRegistry | None = None

    @classmethod
    async def open(cls, listen: str, stack: AsyncExitStack) -> Metrics:
        """Serves at `listen` (HOST:PORT), or not at all if it is empty; the stack stops it. Raises: PortInUse."""
        metrics = cls()
        if listen:
            await metrics._serve(listen, stack)
        return metrics

    @property
    def announced(self) -> dict[str, str]:
        """What a service says of it when it is ready."""
        return {"metrics": f"http://{self.address}/metrics"} if self.address else {}

    def watch(self, meanings: Mapping[str, str], read: Read) -> None:
        """Gauges, read whenever somebody asks. `meanings`: by their names, what they are."""
        if self._registry is not None:
            self._registry.register(_Watched(meanings, read, asyncio.get_running_loop()))

    async def _serve(self, listen: str, stack: AsyncExitStack) -> None:
        # Only now: it takes a tenth of a second, and most who try this out have nobody who asks.
        from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, start_http_server

        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        calls = Histogram(
            "triptych_rpc_seconds",
            "How long RPCs took, by method and status code; a stream's whole life.",
            ["method", "code"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.timed = lambda method, code, seconds: calls.labels(method, code).observe(seconds)
        host, _, port = listen.rpartition(":")
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), self._registry)
        except OSError as error:
            raise PortInUse(f"can't serve metrics on {listen}: {error.strerror}") from None

        async def stop() -> None:
            await asyncio.to_thread(server.shutdown)
            await asyncio.to_thread(thread.join)
            server.server_close()

        stack.push_async_callback(stop)
        self.address = f"{host}:{server.server_port}"


class _Watched:
    """A collector for prometheus_client, which asks in a thread of its own."""

    def __init__(self, meanings: Mapping[str, str], read: Read, loop: asyncio.AbstractEventLoop) -> None:
        self._meanings, self._read, self._loop = meanings, read, loop

    def describe(self) -> Iterator[Metric]:
        return self._families({})

    def collect(self) -> Iterator[Metric]:
        asked = asyncio.run_coroutine_threadsafe(self._values(), self._loop)
        try:
            values = asked.result(_PATIENCE_SECONDS)
        except (TriptychError, TimeoutError):
            return
        yield from self._families(values)

    async def _values(self) -> Mapping[str, float]:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await self._read()

    def _families(self, values: Mapping[str, float]) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        for name, meaning in self._meanings.items():
            yield GaugeMetricFamily(name, meaning, value=values.get(name))
