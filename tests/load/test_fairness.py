"""One user's flood leaves another's calls nearly as fast as they were: pytest -m load -s tests/load."""

from __future__ import annotations

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

CALLS = 300
FLOODERS = 64


@contextmanager
def _flood(system: Up, key: str) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.load.flood", system.ready["http_url"], key, "/v1/agents", str(FLOODERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdout is not None
        assert flood.stdout.readline() == "flooding\n"
        try:
            yield
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
    with up(tmp_path, "--model-base-url", model.url) as system:
        quiet, loud = system.new_user("quiet"), system.new_user("loud")
        with system.http(quiet) as http:
            path = f"/v1/agents/{http.post('/v1/agents', json={'name': 'a'}).json()['id']}"
            idle = _p99_ms(http, path)
            with _flood(system, loud):
                flooded = _p99_ms(http, path)
    print(f"\np99 idle {idle:.1f} ms, under a flood {flooded:.1f} ms, ratio {flooded / idle:.2f}")
    assert flooded <= 2 * idle


def run_limits(system: Up, user: str) -> None:
    with system.http() as http:
        limits = {"limits": {"requests_per_second": 50}}
        assert http.put(f"/v1/admin/users/{user}/limits", json=limits).status_code == 200
