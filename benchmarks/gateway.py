"""What the door costs: turns, reads and searches by REST, what the gateway adds, and what idle streams hold.

python -m benchmarks.gateway [--calls 200] [--streams 2000]

`triptych up` as a user starts it, and a model that answers at once, in a process of its own. CPU is that of the
services, without the client's and the model's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import idle
from benchmarks.common import rate, timed
from benchmarks.instant_model import instant_model
from benchmarks.system import SERVICES, System, running

Call = Callable[[], Awaitable[Any]]
_CLIENTS = 32
_WARM_UP = 20


class Rest:
    """The calls that are measured, as one user's."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._number = itertools.count()

    async def call(self, method: str, path: str, **options: Any) -> Any:
        response = await self._http.request(method, path, **options)
        response.raise_for_status()
        return response.json()

    async def create(self) -> str:
        blocks = [
            {"label": "human", "value": "Name: Ann. Likes quince."},
            {"label": "persona", "value": "I am a helpful assistant."},
        ]
        body = {"name": f"agent-{next(self._number)}", "include_base_tools": True, "memory_blocks": blocks}
        return str((await self.call("POST", "/v1/agents/", json=body))["id"])

    async def turn(self, agent_id: str) -> None:
        said = {"messages": [{"role": "user", "content": f"hello number {next(self._number)}"}]}
        answer = await self.call("POST", f"/v1/agents/{agent_id}/messages", json=said)
        assert answer["stop_reason"]["stop_reason"] == "end_turn", answer

    async def insert(self, agent_id: str) -> None:
        number = next(self._number)
        fact = {"text": f"fact {number}: the harbour of Oslo keeps {number} violins, a train and a ledger"}
        await self.call("POST", f"/v1/agents/{agent_id}/archival-memory", json=fact)

    async def search(self, agent_id: str) -> None:
        query = {"query": f"fact {next(self._number) % 50}", "top_k": 10}
        found = await self.call("GET", f"/v1/agents/{agent_id}/archival-memory/search", params=query)
        assert found["count"] == 10, found


def new_table() -> Table:
    names = (name.removesuffix("_service") for name in ("all", *SERVICES))
    return Table("what", "p50 / p95", *names, "goal", title="the door; CPU of the services in ms a call")


class Bench:
    """Fills a table, and says each row as soon as it is known."""

    def __init__(self, system: System, calls: int, table: Table) -> None:
        self._system, self._calls, self._table = system, calls, table

    async def rest(self) -> None:
        async with http(self._system) as client:
            rest = Rest(client)
            for what, call, goal in await _by_rest(rest):
                await self._latency(what, call, goal)
            agents = [await rest.create() for _ in range(_CLIENTS)]
            turns = [lambda agent=agent: rest.turn(agent) for agent in agents] * max(4, 4 * self._calls // _CLIENTS)
            before = self._system.cpu_seconds()
            per_second = await rate(turns, clients=_CLIENTS)
            self._row(f"turns, {_CLIENTS} clients", f"{per_second:.0f}/s", "≥ 120/s", before, len(turns))

    async def added(self) -> None:
        """The same call past the gateway and through it, by turns."""
        past, through = self._system.direct, self._system.gateway
        one, two = await self._system.new_agents(2)
        unary = await self._by_turns(
            lambda: timed(lambda: past.read(one.id)), lambda: timed(lambda: through.read(one.id))
        )
        self._row("added to a unary RPC (GetAgent)", unary, "≤ 1.5 ms")
        first = await self._by_turns(
            lambda: past.turn(one.id, "hello", deltas=True), lambda: through.turn(two.id, "hello", deltas=True)
        )
        self._row("added to a stream's first token", first, "≤ 2 ms")

    async def idle(self, what: str, streams: int) -> None:
        async with http(self._system) as client:
            measured = await idle.measured(self._system, client, idle.KINDS[what], streams, self._calls)
        self._row(f"{streams:,} idle {what}", measured, "≤ 150 MB, ≤ 2")

    async def _latency(self, what: str, call: Call, goal: str) -> None:
        for _ in range(_WARM_UP):
            await call()
        await self._system.idle()
        before = self._system.cpu_seconds()
        took = sorted([await timed(call) for _ in range(self._calls)])
        shown = f"{statistics.median(took):.1f} / {took[int(0.95 * len(took))]:.1f} ms"
        self._row(what, shown, goal, before, self._calls)

    async def _by_turns(self, past: Callable[[], Awaitable[float]], through: Callable[[], Awaitable[float]]) -> str:
        for _ in range(_WARM_UP):
            await past(), await through()
        pairs = [(await past(), await through()) for _ in range(self._calls)]
        one, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        return f"{other - one:.2f} ms ({one:.2f} → {other:.2f})"

    def _row(self, what: str, shown: str, goal: str, before: dict[str, float] | None = None, calls: int = 1) -> None:
        """`before`: the CPU time when `calls` calls began; None where it says nothing."""
        cpu = [""] * (len(SERVICES) + 1)
        if before is not None:
            now = self._system.cpu_seconds()
            each = [1e3 * (now[name] - before[name]) / calls for name in SERVICES]
            cpu = [f"{used:.1f}" for used in (sum(each), *each)]
        self._table.add_row(what, shown, *cpu, goal)
        print(what, shown, *cpu, sep="  ", file=sys.stderr, flush=True)


async def _by_rest(rest: Rest) -> list[tuple[str, Call, str]]:
    """What is measured one call after another; lists are as long as they are asked to be."""
    talker, keeper = await rest.create(), await rest.create()
    for _ in range(50):
        await rest.turn(talker)
        await rest.insert(keeper)
        await rest.create()
    query, newest = {"query": "hello", "limit": 10}, {"limit": 50}
    return [
        ("turn, one client", lambda: rest.turn(talker), "≤ 9 ms"),
        ("agent create", rest.create, "≤ 4 ms"),
        ("get agent", lambda: rest.call("GET", f"/v1/agents/{talker}"), "≤ 2 ms"),
        ("list 50 messages", lambda: rest.call("GET", f"/v1/agents/{talker}/messages", params=newest), "≤ 3 ms"),
        ("list 50 agents", lambda: rest.call("GET", "/v1/agents/", params=newest), "≤ 5 ms"),
        ("archival insert", lambda: rest.insert(keeper), ""),
        ("archival search, top 10", lambda: rest.search(keeper), ""),
        ("messages/search, top 10", lambda: rest.call("POST", "/v1/messages/search", json=query), ""),
        ("health (the HTTP server alone)", lambda: rest.call("GET", "/v1/health/"), ""),
    ]


@asynccontextmanager
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {system.key}"}
    async with httpx.AsyncClient(base_url=system.up.ready["http_url"], headers=headers, timeout=60) as client:
        yield client


async def main(calls: int, streams: int) -> None:
    table = new_table()
    with instant_model() as url:
        async with _system(url) as system:
            bench = Bench(system, calls, table)
            await bench.rest()
            await bench.added()
        for what in idle.KINDS if streams else ():
            # Each on a system of its own: what one kind has let go of would hold the other.
            async with _system(url) as system:
                await Bench(system, calls, table).idle(what, streams)
    Console(width=150).print(table)


@asynccontextmanager
async def _system(model_url: str) -> AsyncIterator[System]:
    with tempfile.TemporaryDirectory(prefix="triptych-bench-") as folder:
        # A turn that waits for its model is what idle streams follow.
        async with running(Path(folder), model_url, TRIPTYCH_MODEL_TIMEOUT_SECONDS="3600") as system:
            yield system


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="of each kind")
    parser.add_argument("--streams", type=int, default=2_000, help="that are held open and say nothing; 0: none")
    given = parser.parse_args()
    asyncio.run(main(given.calls, given.streams))
