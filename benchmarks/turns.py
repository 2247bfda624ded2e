"""What a plain turn takes: time, CPU and memory, beside the least that this machine could do.

python -m benchmarks.turns [--only latency cpu load first history many] [--column "default embedder"] [--rounds 5]

`triptych up` as a user starts it, with a model that answers at once; the load comes from this process, on the same
machine. It is done twice: with the smallest embedder, which shows a turn without embedding (0.1 ms a message), and with
the one that comes as default. Figures are medians of rounds that alternate with what they are compared with.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.common import console, timed
from benchmarks.floor import Floor
from benchmarks.instant_model import instant_model
from benchmarks.system import SERVICES, System, at_once, running

_CLIENTS = 32
_HISTORIES = (10, 1_000, 10_000, 100_000)
_WINDOW = 8_000
_AGENTS, _LIVE, _MODEL_SECONDS, _LIVE_SECONDS = 10_000, 200, 2.0, 30.0

# What was measured, what came out, what is wanted.
Row = tuple[str, str, str]


class Bench:
    """Measures one running system. `each`: turns of one client in a round."""

    def __init__(self, system: System, floor: Floor, rounds: int, each: int) -> None:
        self._system, self._floor, self._rounds, self._each = system, floor, rounds, each

    async def warm_up(self) -> None:
        (agent,) = await self._system.new_agents(1)
        for door in (self._system.direct, self._system.gateway):
            for _ in range(50):
                await door.turn(agent.id, "Good morning", deltas=True)
        await self._floor.take_body()

    async def latency(self) -> list[Row]:
        """One client's turns, beside as many times the floor."""
        (agent,) = await self._system.new_agents(1)
        direct, front, floor = [], [], []
        for _ in range(self._rounds):
            direct.append(await self._times(lambda: self._system.direct.turn(agent.id, "And then?")))
            floor.append(await self._times(self._floor.turn))
            front.append(await self._times(lambda: self._system.gateway.turn(agent.id, "And then?")))
        ratios = [statistics.median(one) / statistics.median(other) for one, other in zip(direct, floor, strict=True)]
        return [
            ("turn at agent_service, p50 / p95", _milliseconds(direct), "p50 ≤ 7 ms"),
            ("the floor: 1 RPC, 1 httpx call, 3 commits", _milliseconds(floor), ""),
            ("turn over the floor", _spread(ratios, "{:.2f}"), "≤ 3"),
            ("turn at the gateway's gRPC, p50 / p95", _milliseconds(front), ""),
        ]

    async def cpu(self) -> list[Row]:
        """Milliseconds of CPU, of one client's turns through the gateway."""
        (agent,) = await self._system.new_agents(1)
        used = [await self._cpu_of_a_round(agent.id) for _ in range(self._rounds)]
        parts = {name: statistics.median(each[name] for each in used) for name in SERVICES}
        total = _spread([sum(each.values()) for each in used], "{:.2f} ms")
        shares = ", ".join(f"{name.removesuffix('_service')} {spent:.2f}" for name, spent in parts.items())
        return [("CPU a turn, all services", total, "≤ 9 ms"), ("   of it", shares, "")]

    async def load(self) -> list[Row]:
        """So many agents at once, each with one turn after the other, through the gateway."""
        agents = await self._system.new_agents(_CLIENTS)
        turns = self._each * 10
        rates, spent = [], []
        for _ in range(self._rounds):
            await self._system.idle()
            before, began = self._system.cpu_seconds(), time.perf_counter()
            doing = (
                lambda agent=agents[n % _CLIENTS]: self._system.gateway.turn(agent.id, "And then?")
                for n in range(turns)
            )
            await at_once(doing, _CLIENTS)
            rates.append(turns / (time.perf_counter() - began))
            await self._system.idle()
            spent.append(1e3 * sum(_since(before, self._system.cpu_seconds()).values()) / turns)
        return [
            (f"turns/s of {_CLIENTS} agents, through the gateway", _spread(rates, "{:.0f}"), "≥ 170"),
            ("   CPU a turn then", _spread(spent, "{:.2f} ms"), ""),
        ]

    async def first(self) -> list[Row]:
        """The first piece of text, through gateway and agent_service, over the model's own."""
        (agent,) = await self._system.new_agents(1)
        over = []
        for _ in range(self._rounds):
            own = statistics.median([await self._floor.first_piece() for _ in range(self._each)])
            through = [await self._system.gateway.turn(agent.id, "And then?", deltas=True) for _ in range(self._each)]
            over.append(statistics.median(through) - own)
        return [("first token, all hops, over the model's own", _spread(over, "{:.2f} ms"), "≤ 8 ms")]

    async def history(self) -> list[Row]:
        """Turns behind conversations of different lengths, by turns."""
        agents = await self._system.new_agents(len(_HISTORIES), window=_WINDOW)
        for agent, length in zip(agents, _HISTORIES, strict=True):
            await self._system.fill(agent, length)
        await self._system.idle()
        took: dict[int, list[float]] = {length: [] for length in _HISTORIES}
        for number in range(self._each * self._rounds):
            for agent, length in zip(agents, _HISTORIES, strict=True):
                passed = await timed(lambda agent=agent: self._system.direct.turn(agent.id, "And then?"))
                if number >= self._each // 4:
                    took[length].append(passed)
        medians = [statistics.median(each) for each in took.values()]
        told = ", ".join(f"{median:.2f}" for median in medians)
        lengths = ", ".join(f"{length:,}" for length in _HISTORIES)
        apart = max(medians) / min(medians) - 1
        return [(f"turn behind {lengths} messages, p50", f"{told} ms: {apart:.0%} apart", "≤ 20%")]

    async def many(self) -> list[Row]:
        """Many agents, and so many turns at any time on a model that takes its time."""
        agents = await self._system.new_agents(_AGENTS, model=f"waits-{_MODEL_SECONDS}")
        ends, over = time.perf_counter() + _LIVE_SECONDS, []

        async def client(mine: Sequence[str]) -> None:
            await asyncio.sleep(random.uniform(0, _MODEL_SECONDS))
            for agent_id in mine:
                if time.perf_counter() > ends:
                    return
                over.append(await timed(lambda agent_id=agent_id: self._system.gateway.turn(agent_id, "And then?")))

        ids = [agent.id for agent in agents]
        await asyncio.gather(*(client(ids[number::_LIVE]) for number in range(_LIVE)))
        rss, pss = self._system.memory_mb()
        late = [each - 1e3 * _MODEL_SECONDS for each in over]
        cuts = statistics.quantiles(late, n=100)
        return [
            (f"{_AGENTS:,} agents, {_LIVE} live turns: RSS (PSS)", f"{rss:.0f} ({pss:.0f}) MB", "≤ 600 MB"),
            (
                f"   over the model's {_MODEL_SECONDS:g} s, p50 / p99",
                f"{statistics.median(late):.0f} / {cuts[98]:.0f} ms of {len(late):,} turns",
                "p99 ≤ 100 ms",
            ),
        ]

    async def _times(self, call: Callable[[], Awaitable[object]]) -> list[float]:
        return [await timed(call) for _ in range(self._each)]

    async def _cpu_of_a_round(self, agent_id: str) -> dict[str, float]:
        await self._system.idle()
        before = self._system.cpu_seconds()
        for _ in range(self._each * 2):
            await self._system.gateway.turn(agent_id, "And then?")
        await self._system.idle()
        spent = _since(before, self._system.cpu_seconds())
        return {name: 1e3 * each / (self._each * 2) for name, each in spent.items()}


PARTS: dict[str, Callable[[Bench], Awaitable[list[Row]]]] = {
    "latency": Bench.latency,
    "cpu": Bench.cpu,
    "load": Bench.load,
    "first": Bench.first,
    "many": Bench.many,
    # Last: what it leaves in memory would be counted to the others.
    "history": Bench.history,
}
# The columns of the table: settings, and what is measured with them.
COLUMNS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "embedding apart": ({"TRIPTYCH_RECALL_EMBEDDER": "wordllama"}, tuple(PARTS)),
    "default embedder": ({}, ("latency", "cpu", "load", "many")),
}


async def main(only: Sequence[str], columns: Sequence[str], rounds: int, each: int) -> None:
    found: dict[str, dict[str, str]] = {}
    wanted: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="triptych-bench-") as folder, instant_model() as url:
        for column in columns:
            settings, measured = COLUMNS[column]
            parts = [part for part in measured if part in only]
            if not parts:
                continue
            data = Path(folder) / column.replace(" ", "-")
            async with running(data, url, **settings) as system:
                floor = Floor(data, url, system.recall_channel)
                bench = Bench(system, floor, rounds, each)
                await bench.warm_up()
                for part in parts:
                    for what, value, reach in await PARTS[part](bench):
                        console.print(f"{column}: {what}: {value}", style="dim", soft_wrap=True)
                        found.setdefault(what, {})[column] = value
                        wanted[what] = reach
                await floor.close()
    _show(found, wanted, rounds, each)


def _show(found: dict[str, dict[str, str]], wanted: dict[str, str], rounds: int, each: int) -> None:
    title = f"plain turns, a model that answers at once; medians of {rounds} rounds of {each} turns (from … to …)"
    shown = Table("what", *COLUMNS, "to reach", title=title, title_justify="left")
    for what, values in found.items():
        shown.add_row(what, *(values.get(column, "") for column in COLUMNS), wanted[what])
    console.print(shown)


def _since(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before}


def _spread(values: Sequence[float], form: str) -> str:
    """The median, and from where to where."""
    return f"{form.format(statistics.median(values))} ({min(values):.2f} to {max(values):.2f})"


def _milliseconds(rounds: Sequence[Sequence[float]]) -> str:
    """Medians over the rounds of their p50 and p95."""
    middle = statistics.median(statistics.median(each) for each in rounds)
    high = statistics.median(statistics.quantiles(each, n=20)[18] for each in rounds)
    return f"{middle:.2f} / {high:.2f} ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--column", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", type=int, default=60, help="turns of one client in a round")
    given = parser.parse_args()
    asyncio.run(main(given.only, given.column, given.rounds, given.each))
