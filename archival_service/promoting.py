"""Gives an owner of many passages a shard of their own, with a graph; and builds it anew when it has grown.

The next shard is built by another process, which is given what the store has, while the present one serves. What
changes meanwhile is noted, and brought to the new one before that takes over. A cut costs the work and nothing else.
"""

from __future__ import annotations

import asyncio
import pickle
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from archival_service.store import Entry
from archival_service.stores import outbox, own_shards, passages
from archival_service.stores.edge import EdgeIndex, Noted
from archival_service.stores.own_shards import OwnShard
from archival_service.stores.shard import Shard
from servicekit.background import went_well
from servicekit.principal import Tenant
from servicekit.sql import Database
from triptych.errors import Unavailable

_log = structlog.get_logger("promoting")
# From here on a graph beats a look at each passage.
LARGE = 10_000
# Passages that have come since the graph was built are looked at one by one. It is built anew of so many times as many.
_GROWTH = 1.5
_BATCH = 200
_READ_BYTES = 1024 * 1024
# Each takes memory, threads and maps of its files. Who comes later stays in the shared shard.
MOST_SHARDS = 64


class Promoter:
    """Works in the background, on one owner at a time. `built`: returns when the index has all that the store has."""

    def __init__(self, sql: Database, index: EdgeIndex, built: Callable[[], Awaitable[None]]) -> None:
        self._sql, self._index = sql, index
        self._task = asyncio.get_running_loop().create_task(self._loop(built))

    async def close(self) -> None:
        """A shard that is being built is given up."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _loop(self, built: Callable[[], Awaitable[None]]) -> None:
        await built()
        await went_well(self._look_at_all(), "who has many passages could not be counted: they are seen when they grow")
        while True:
            await self._try(await self._index.grown.get())

    async def _look_at_all(self) -> None:
        for tenant in await self._sql.read(lambda c: passages.owners_of_many(c, LARGE)):
            await self._try(tenant)

    async def _try(self, tenant: Tenant) -> None:
        """What fails is left as it is: the owner is looked at again when they have grown."""
        await went_well(self._look_at(tenant), "a shard of an owner's own could not be built")

    async def _look_at(self, tenant: Tenant) -> None:
        count = await self._sql.read(lambda c: passages.count(c, tenant, []))
        before = self._index.own_passages(tenant)
        if count >= max(LARGE, _GROWTH * before) and (before or self._index.own_shards < MOST_SHARDS):
            await self._promote(tenant, count)

    async def _promote(self, tenant: Tenant, count: int) -> None:
        own = OwnShard(own_shards.new(self._index.folder), tenant, count)
        noted = self._index.begin_noting(tenant)
        try:
            await self._build(own)
            shard = await self._load(own.folder)
            await self._catch_up(shard, noted)
            own_shards.mark(own)
            replaced = self._index.take(own, shard)
        except BaseException:
            shutil.rmtree(own.folder, ignore_errors=True)
            raise
        finally:
            self._index.end_noting()
        if replaced is None:
            await self._leave_shared(tenant)
        else:
            await self._index.drop(replaced)
        _log.info("an owner has a shard of their own", passages=count)

    async def _build(self, own: OwnShard) -> None:
        """Raises: CalledProcessError, OSError."""
        command = (sys.executable, "-m", "archival_service.optimizing", str(own.folder), str(self._index.dimensions))
        # Not asyncio's own: uvloop forks, which gRPC's threads take ill, and this one does not.
        process = await asyncio.to_thread(subprocess.Popen, command, stdin=subprocess.PIPE)
        try:
            await self._give(own.tenant, process)
            await _ended(process)
        finally:
            process.kill()  # if this is given up; the thread that waits for it cleans up
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()

    async def _give(self, tenant: Tenant, process: subprocess.Popen[bytes]) -> None:
        """What the store has of the owner's, and an end."""
        after = ("", 0)
        while entries := await self._sql.read(partial(outbox.entries_of, tenant=tenant, after=after, most=_BATCH)):
            await asyncio.to_thread(_send, process, entries)
            after = (entries[-1].archive_id, entries[-1].n)
        await asyncio.to_thread(_send, process, [])

    async def _load(self, folder: Path) -> Shard:
        """Not in the shards' own thread: there it would hold up the others."""
        await asyncio.to_thread(_read, folder)
        try:
            return await asyncio.to_thread(Shard.load, folder, self._index.dimensions, alone=True)
        except Exception as error:  # the engine raises nothing more specific
            raise Unavailable(f"what was built can't be opened: {error}") from error

    async def _leave_shared(self, tenant: Tenant) -> None:
        """By the store's numbers: to find the owner's in the shard takes longer, each time."""
        after = ("", 0)
        while keys := await self._sql.read(partial(outbox.keys_of, tenant=tenant, after=after, most=_BATCH)):
            await self._index.forget_shared(tenant, [n for _, n in keys])
            after = keys[-1]

    async def _catch_up(self, shard: Shard, noted: Noted) -> None:
        """Returns when there is nothing more to bring; whoever comes without waiting in between finds it so."""
        while noted.numbers:
            while noted.numbers:
                numbers = [noted.numbers.pop() for _ in range(min(_BATCH, len(noted.numbers)))]
                entries = await self._sql.read(partial(outbox.entries, numbers=numbers))
                mine = [entry for entry in entries if Tenant(entry.account_id, entry.user_id) == noted.tenant]
                await self._index.run(shard.put, mine)
                await self._index.run(shard.forget, sorted(set(numbers) - {entry.n for entry in mine}))
            await self._index.run(shard.flush)


def _send(process: subprocess.Popen[bytes], entries: Sequence[Entry]) -> None:
    assert process.stdin is not None
    pickle.dump(entries, process.stdin)
    process.stdin.flush()


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Raises: CalledProcessError."""
    if code := await asyncio.to_thread(process.wait):
        raise subprocess.CalledProcessError(code, "optimizing")


def _read(folder: Path) -> None:
    """So that it is in memory when it is opened: the engine holds Python's global lock while it waits for the disk."""
    buffer = bytearray(_READ_BYTES)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
