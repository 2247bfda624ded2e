"""Has a file read in a process of its own, with limits of memory and time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import structlog

from archival_service.chunking import Chunk
from triptych.errors import InvalidArgument

_log = structlog.get_logger("reading")
# Each may take a core and all of its memory.
_AT_ONCE = 2
_PART = 1024 * 1024
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Limits:
    """`document_bytes`: of a file; `read_seconds`, `read_bytes`: of time and memory to read one."""

    document_bytes: int
    read_seconds: int
    read_bytes: int


class Reading:
    """What was read from a file, kept in a temporary one until it is closed. `digest`: a hash of all of it."""

    def __init__(self, result: IO[bytes]) -> None:
        """Raises: InvalidArgument if it says why the file can't be taken in."""
        self._result = result
        whole = hashlib.sha256()
        while part := result.read(_PART):
            whole.update(part)
        self.digest = whole.hexdigest()
        result.seek(0)
        head = json.loads(result.readline())
        if "error" in head:
            raise _refused(head["error"])
        self.chunk_count, self.characters, self.pages = head["chunks"], head["characters"], head["pages"]

    def chunks(self) -> Iterator[Chunk]:
        """Once, in order."""
        for line in self._result:
            fields = json.loads(line)
            yield Chunk(**{**fields, "headings": tuple(fields["headings"])})


class Reader:
    """Reads a few files at a time; others wait for their turn."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def read(self, file: IO[bytes], media_type: str, result: IO[bytes]) -> Reading:
        """Reads the file from its beginning; `result` is an empty one, which holds what was read.

        Raises: InvalidArgument for a file that can't be taken in; it says why.
        """
        async with self._turns:
            await self._run(file, result, media_type)
        result.seek(0)
        return await asyncio.to_thread(Reading, result)

    async def _run(self, file: IO[bytes], result: IO[bytes], media_type: str) -> None:
        file.flush()
        file.seek(0)
        limits = (str(self.limits.read_bytes), str(self.limits.read_seconds))
        # Not asyncio's own: uvloop forks, which gRPC's threads take ill, and this one does not.
        process = await asyncio.to_thread(
            subprocess.Popen,
            (sys.executable, "-m", "archival_service.readers", media_type, *limits),
            stdin=file,
            stdout=result,
            stderr=subprocess.PIPE,
            # Nothing of ours that a file could get out of it: no DSN, no keys.
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        )
        try:
            _, said = await asyncio.to_thread(process.communicate, timeout=2 * self.limits.read_seconds)
        except subprocess.TimeoutExpired:
            raise self._too_slow() from None
        finally:
            process.kill()  # if the caller went away; the thread that waits for it cleans up
        self._check(process.returncode, said)

    def _check(self, code: int | None, said: bytes) -> None:
        if code == -signal.SIGXCPU:
            raise self._too_slow()
        if code:
            # Its last words may quote the file, but for their kind.
            _log.warning("a reader died", code=code)
            raise _refused("it can't be read: it is damaged, or needs too much memory")
        if said:
            _log.info("a reader gave up", cause=said.decode(errors="replace").split()[0])

    def _too_slow(self) -> InvalidArgument:
        return _refused(f"reading it takes more than {self.limits.read_seconds} s")


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument.of("file", why)
