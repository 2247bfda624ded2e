"""One user's flood leaves another's calls nearly as fast as they were: pytest -m load -s tests/load."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.scripted_model import ScriptedModel
from tests.support.up import Up, up

ROUNDS = 7
CALLS = 300
FLOODERS = 64
# What is in sockets and queues when a flood stops or goes on is no part of either.
_SETTLE_SECONDS = 0.5


class Flood:
    """Another user's, as fast as it can. It is frozen while it is not wanted, so that phases can follow each other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)
        time.sleep(_SETTLE_SECONDS)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)
        time.sleep(_SETTLE_SECONDS)


@contextmanager
def _flood(system: Up, key: str) -> Iterator[Flood]:
    command = [sys.executable, "-m", "tests.load.flood", system.ready["http_url"], key, "/v1/agents", str(FLOODERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdout is not None
        assert flood.stdout.readline() == "flooding\n"
        try:
            yield Flood(flood)
        finally:
            flood.kill()


def _p99_ms(http: httpx.Client, path: str) -> float:
    taken = []
    for _ in range(CALLS):
        started = time.perf_counter()
        assert http.get(path).status_code == 200
        taken.append(1e3 * (time.perf_counter() - started))
    return sorted(taken)[int(CALLS * 0.99)]


@pytest.mark.load
def test_a_flood_leaves_anothers_p99_within_twice_of_idle(tmp_path: Path, model: ScriptedModel) -> None:
    """Idle and flooded by turns, for what else the machine does changes; the middle one of the ratios counts."""
    rounds = []
    with up(tmp_path, "--model-base-url", model.url) as system:
        quiet, loud = system.new_user("quiet"), system.new_user("loud")
        with system.http(quiet) as http, _flood(system, loud) as flood:
            path = f"/v1/agents/{http.post('/v1/agents', json={'name': 'a'}).json()['id']}"
            for _ in range(ROUNDS):
                flood.stop()
                idle = _p99_ms(http, path)
                flood.go_on()
                rounds.append((idle, _p99_ms(http, path)))
    for idle, flooded in rounds:
        print(f"\np99 idle {idle:.1f} ms, under a flood {flooded:.1f} ms, ratio {flooded / idle:.2f}", end="")
    ratio = statistics.median(flooded / idle for idle, flooded in rounds)
    print(f"\nmedian ratio {ratio:.2f}")
    assert ratio <= 2
