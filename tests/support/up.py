"""`triptych up` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

_STOP_SECONDS = 40
COMMAND = (sys.executable, "-m", "triptych.cli")


class Up:
    """A running system. `said`: what it printed until it was ready."""

    def __init__(self, data: Path, *options: str, environ: dict[str, str] | None = None) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [*COMMAND, "up", "--data", str(data), "--http-port", "0", "--grpc-port", "0", *options],
            env=clean_environment() | (environ or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if line.startswith("ready "):
                break
        else:
            raise AssertionError(f"`up` ended with {self.process.wait()}: {self.said}")
        self.ready: dict[str, Any] = json.loads((data / "ready.json").read_text())

    @property
    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads((self.data / "ready.json").read_text())["pids"]
        return pids

    def http(self, key: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {key or self.ready['api_key']}"}
        return httpx.Client(base_url=self.ready["http_url"], headers=headers, timeout=60)

    def new_user(self, name: str) -> str:
        """Makes a user as an admin would; gives a key of it."""
        run("users", "create", name, "--data", str(self.data))
        return run("keys", "create", name, "--data", str(self.data)).stdout.splitlines()[0]

    def kill_all(self) -> None:
        """SIGKILL to everything at once, the supervisor too."""
        pids = [self.process.pid, *self.pids.values()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(_STOP_SECONDS)

    def stop(self, number: int = signal.SIGINT) -> int:
        """As Ctrl-C does; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(_STOP_SECONDS)


@contextmanager
def up(data: Path, *options: str, environ: dict[str, str] | None = None) -> Iterator[Up]:
    running = Up(data, *options, environ=environ)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def run(*arguments: str, stdin: str = "", environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command of `triptych`, to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=clean_environment() | (environ or {}),
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=120,
    )


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("TRIPTYCH_", "OPENAI_"))}


def alive(pid: int) -> bool:
    """Whether a process runs (one that has ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
