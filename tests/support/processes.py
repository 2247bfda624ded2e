"""Services as the processes that they are (see `nursery`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support import nursery

_STOP_SECONDS = 20


class Service:
    """`python -m NAME`, ready. `addresses`: what it announced."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        reading, writing = os.pipe()
        self._process = nursery.fork(name, environment(environ), writing)
        os.close(writing)
        # Kept open: what it prints later must not fail.
        self._output = os.fdopen(reading)
        line = self._output.readline()
        assert line, f"{name} ended with {self._process.wait()} before it was ready"
        self.addresses: dict[str, Any] = json.loads(line)

    @property
    def grpc(self) -> str:
        return str(self.addresses["grpc"])

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is closed."""
        self._process.kill()
        self._process.wait()

    def died(self, seconds: float) -> bool:
        """Waits for it to end by itself; whether it did."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self._process.terminate()
        return self._process.wait(_STOP_SECONDS)


@contextmanager
def running(name: str, environ: Mapping[str, str]) -> Iterator[Service]:
    service = Service(name, environ)
    try:
        yield service
    finally:
        service.kill()


def run(name: str, *arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the service's command to its end."""
    command = [sys.executable, "-m", name, *arguments]
    return subprocess.run(command, env=environment(environ), capture_output=True, text=True, timeout=60)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings of Triptych, and those given."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRIPTYCH_")} | dict(environ)
