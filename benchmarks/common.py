"""What the benchmarks share: a service to measure, clocks, tables."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from servicekit.channel import Peer
from tests.support.keys import signer
from tests.support.processes import Service, running

console = Console()


@dataclass
class Measured:
    """A service of its own on a temporary folder, and a channel to it."""

    service: Service
    peer: Peer
    folder: Path

    def rss_mib(self) -> float:
        return float(psutil.Process(self.service.pid).memory_info().rss / 2**20)

    def cpu_seconds(self, *, children: bool = False) -> float:
        """What the service has used; with its children's, those that have ended too."""
        process = psutil.Process(self.service.pid)
        times = process.cpu_times()
        used = times.user + times.system
        if children:
            used += times.children_user + times.children_system
            used += sum(sum(child.cpu_times()[:2]) for child in process.children())
        return float(used)

    def disk_mib(self) -> float:
        """What its files take there: less than their length, where they have holes."""
        return 512 * sum(file.stat().st_blocks for file in self.folder.rglob("*") if file.is_file()) / 2**20


@asynccontextmanager
async def measured(
    name: str, environment: Callable[..., dict[str, str]], folder: Path | None = None, **more: str
) -> AsyncIterator[Measured]:
    """`python -m NAME` with `environment(folder)` and `more` settings; a given `folder` is kept."""
    with (
        _folder(folder) as path,
        running(name, {**environment(path), "TRIPTYCH_LOG_LEVEL": "warning", **more}) as service,
    ):
        peer = Peer(name, service.grpc, signer(path))
        yield Measured(service, peer, path)
        await peer.close()


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="triptych-bench-") as made:
        yield Path(made)


async def timed(call: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds that one call takes."""
    began = time.perf_counter()
    await call()
    return 1e3 * (time.perf_counter() - began)


async def rate(calls: Iterable[Callable[[], Awaitable[Any]]], *, clients: int, each: int = 1) -> float:
    """Things a second, `each` a call, with so many callers at once."""
    waiting = iter(calls)
    done = 0

    async def client() -> None:
        nonlocal done
        for call in waiting:
            await call()
            done += each

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return done / (time.perf_counter() - began)


def percentiles(milliseconds: list[float]) -> str:
    """`p50 / p95`, with how many there were."""
    cuts = statistics.quantiles(milliseconds, n=20)
    return f"{statistics.median(milliseconds):.2f} / {cuts[18]:.2f} ms (n={len(milliseconds)})"


def table(title: str, rows: Iterable[tuple[str, ...]]) -> None:
    shown = Table(title=title, title_justify="left", show_header=False)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))
