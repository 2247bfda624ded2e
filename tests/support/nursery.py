"""A process that has imported every service once, and forks one whenever a test wants it.

A service of its own costs a second of imports, which is most of what a test of crashes would take. What is forked is a
process like any other: with its own sockets, threads and files, and it dies by SIGKILL. `tests/system` starts services
as users do.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from agent_service import failpoints

_SERVICES = ("recall_service", "archival_service", "agent_service", "gateway")
_LOOK_SECONDS = 0.005


class Child:
    """A process that was forked for us. As `subprocess.Popen`, as far as it is used here."""

    def __init__(self, pid: int, nursery: _Nursery) -> None:
        self.pid, self._nursery = pid, nursery
        self._code: int | None = None

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def wait(self, seconds: float | None = None) -> int:
        """Its exit code; negative for a signal. Raises: subprocess.TimeoutExpired."""
        ends = None if seconds is None else time.monotonic() + seconds
        while self._code is None:
            self._code = self._nursery.ask(["wait", self.pid])
            if self._code is None:
                if ends is not None and time.monotonic() > ends:
                    raise subprocess.TimeoutExpired("a service", seconds or 0)
                time.sleep(_LOOK_SECONDS)
        return self._code

    def _signal(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)  # it stays ours until it has been waited for


class _Nursery:
    """Our end of it. One a test process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.support.nursery", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self._socket = ours
        atexit.register(self._end)

    def fork(self, name: str, environ: Mapping[str, str], stdout: int) -> Child:
        """Runs `python -m NAME` in a fork, with this environment, and its standard output going there."""
        return Child(int(self.ask(["fork", name, dict(environ)], stdout)), self)

    def ask(self, question: list[Any], *files: int) -> Any:
        socket.send_fds(self._socket, [json.dumps(question).encode()], list(files))
        return json.loads(self._socket.recv(1000))

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()


_nursery: _Nursery | None = None


def fork(name: str, environ: Mapping[str, str], stdout: int) -> Child:
    """A service's process."""
    global _nursery
    _nursery = _nursery or _Nursery()
    return _nursery.fork(name, environ, stdout)


def _serve(ours: socket.socket) -> None:
    """Forks and looks after what was forked, until the test process is gone."""
    while True:
        message, files, _, _ = socket.recv_fds(ours, 1_000_000, 1)
        if not message:
            return
        kind, *rest = json.loads(message)
        if kind == "wait":
            answer = _exit_code(rest[0])
        else:
            answer = os.fork()
            if answer == 0:
                ours.close()
                _become(*rest, *files)
            for each in files:
                os.close(each)
        ours.send(json.dumps(answer).encode())


def _exit_code(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(name: str, environ: dict[str, str], stdout: int) -> NoReturn:
    code = 1
    try:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.environ.clear()
        os.environ.update(environ)
        sys.argv = [name]
        # Read when it was imported, which was before.
        failpoints.arm(environ.get("TRIPTYCH_TEST_FAILPOINT", ""))
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for service in _SERVICES:
        __import__(f"{service}.server")
    import aiohttp  # noqa: F401  agent_service imports it behind its first answer

    _serve(socket.socket(fileno=int(sys.argv[1])))
