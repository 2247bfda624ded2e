"""Where the CPU of plain turns goes, as a flame graph of all four services (`pip install py-spy`).

python -m benchmarks.flame OUT.svg [--turns 1000] [--format raw]
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import tempfile
from pathlib import Path

import psutil

from benchmarks.instant_model import instant_model
from benchmarks.system import running

_PER_SECOND = 250


async def main(out: Path, turns: int, form: str) -> None:
    with tempfile.TemporaryDirectory(prefix="triptych-bench-") as folder, instant_model() as url:
        async with running(Path(folder), url, TRIPTYCH_RECALL_EMBEDDER="wordllama") as system:
            (agent,) = await system.new_agents(1)
            for _ in range(50):
                await system.gateway.turn(agent.id, "Good morning")
            supervisor = psutil.Process(system.processes["gateway"].ppid()).pid
            command = [
                str(Path(sys.executable).with_name("py-spy")),
                "record",
                "-p",
                str(supervisor),
                "--subprocesses",
                "-r",
                str(_PER_SECOND),
                "--gil",
            ]
            recorder = await asyncio.create_subprocess_exec(*command, "-d", "3600", "-f", form, "-o", str(out))
            await asyncio.sleep(2)
            for _ in range(turns):
                await system.gateway.turn(agent.id, "And then?")
            recorder.send_signal(signal.SIGINT)
            await recorder.wait()


def anonymise(out: Path) -> None:
    """Leaves out where Python, this project and its data are on this machine, and how it was recorded."""
    told = out.read_text().replace(sys.executable, "python").replace(f"{sys.prefix}/", "").replace(f"{Path.cwd()}/", "")
    told = re.sub(re.escape(tempfile.gettempdir()) + r"/triptych-bench-\w+", "DATA", told)
    out.write_text(re.sub(r'(id="title"[^>]*>)[^<]*', r"\1a plain turn", told, count=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--turns", type=int, default=1_000)
    parser.add_argument("--format", default="flamegraph", choices=("flamegraph", "raw", "speedscope"))
    given = parser.parse_args()
    asyncio.run(main(given.out, given.turns, given.format))
    anonymise(given.out)
