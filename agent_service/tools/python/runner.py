"""Runs tools in Python, each call in a process of its own: bounded, with an empty environment, without network.

That is a fence, not a wall: the process has this service's user, so it can read what this service can read. See
docs/tools.md before switching it on.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_service.tool_settings import PythonSettings
from agent_service.tools.base import ToolError

_CHILD = Path(__file__).with_name("child.py")
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
# Namespaces of its own: no network, no other processes to see, and nothing of it outlives it.
_UNSHARE = ("--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass
class PythonRunner:
    settings: PythonSettings
    _slots: asyncio.Semaphore = field(init=False)
    _prefix: list[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.settings.at_once)

    async def run(self, source: str, function: str, arguments: dict[str, Any]) -> str:
        """What the function returns, as text. Raises: ToolError for what it raises, and for a limit that it met."""
        if not self.settings.enabled:
            raise ToolError("Python tools are switched off on this server (TRIPTYCH_PYTHON_TOOLS).")
        job = {"source": source, "function": function, "arguments": arguments, "limits": self.settings.limits()}
        async with self._slots:
            with tempfile.TemporaryDirectory(prefix="tool-", ignore_cleanup_errors=True) as folder:
                raw = await self._answer(json.dumps(job).encode(), folder)
        return _read(raw)

    async def _answer(self, job: bytes, folder: str) -> bytes:
        command = [*await self._namespaces(), sys.executable, "-I", "-B", str(_CHILD)]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self.settings.seconds):
                return await _exchange(process, job)
        except TimeoutError:
            raise ToolError(f"The tool did not end within {self.settings.seconds:g} seconds.") from None
        finally:
            _kill(process)
            await process.wait()

    async def _namespaces(self) -> list[str]:
        """The command that takes the network away; nothing where the system does not allow it."""
        if self._prefix is None:
            program = shutil.which("unshare")
            wanted = [program, *_UNSHARE] if program else []
            self._prefix = wanted if wanted and await _works([*wanted, "true"]) else []
        return self._prefix

    async def isolates_network(self) -> bool:
        return bool(await self._namespaces())


async def _works(command: list[str]) -> bool:
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=nowhere, stderr=nowhere)
    return await process.wait() == 0


async def _exchange(process: asyncio.subprocess.Process, job: bytes) -> bytes:
    """Hands the job over, and reads the answer, however much there is, up to a bound."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(job)
        await process.stdin.drain()
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return b""
    raw = b""
    while chunk := await process.stdout.read(65_536):
        raw += chunk
        if len(raw) > _MAX_ANSWER_BYTES:
            raise ToolError("The tool returned too much.")
    return raw


def _kill(process: asyncio.subprocess.Process) -> None:
    """The process and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _read(raw: bytes) -> str:
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):  # the tool itself may write there, too
        raise ToolError("The tool's process was ended: it met a limit (CPU, memory, files), or it crashed.")
    if "error" in answer:
        raise ToolError(str(answer["error"]))
    return str(answer.get("result", ""))
