"""One supervised process: started, known to be ready by its one line on stdout, stopped by SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from triptych.cli.errors import CommandError

START_SECONDS = 120.0
STOP_SECONDS = 15.0


class Process:
    """`python -m MODULE ARGUMENTS`, with its log in a file. It stops by itself if the supervisor dies."""

    def __init__(
        self, name: str, module: str, environ: Mapping[str, str], log: Path, arguments: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.ready: dict[str, str] = {}
        self._module, self._environ, self._log, self._arguments = module, dict(environ), log, list(arguments)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def set_environment(self, **values: str) -> None:
        """For the next start: a port that was any free one must then be the same."""
        self._environ.update(values)

    async def start(self) -> None:
        """Returns when it is ready. Raises: CommandError if it ends before, with what it said, or takes too long."""
        with self._log.open("ab") as log:
            begun = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                *self._arguments,
                "--supervised",
                env=self._environ,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # A Ctrl-C in the terminal is for the supervisor, which stops the services in order.
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                self.ready = await self._announced()
        except TimeoutError:
            raise CommandError(f"{self.name} is not ready after {START_SECONDS:g} seconds; see {self._log}") from None
        except ValueError:
            await self._process.wait()
            raise CommandError(self._last_words(begun)) from None

    async def wait(self) -> int:
        """Its exit code, when it has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Asks it to stop, and kills it if it takes too long."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _announced(self) -> dict[str, str]:
        """Raises: ValueError if its output ends without the line."""
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if line.startswith(b"{"):
                said: dict[str, str] = json.loads(line)
                return said
        raise ValueError

    def _last_words(self, begun: int) -> str:
        """The last line of what it wrote since it was started."""
        with self._log.open("rb") as log:
            log.seek(begun)
            said = log.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else f"{self.name} ended before it was ready; see {self._log}"


def clean_environment() -> dict[str, str]:
    """What services inherit: nothing that is a setting or a secret of another program."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    # glibc gives each thread a heap of its own, up to eight a core; these services gain nothing from it but size.
    return {"MALLOC_ARENA_MAX": "2"} | {name: os.environ[name] for name in kept if name in os.environ}
