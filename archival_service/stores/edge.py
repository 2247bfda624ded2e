"""The index: Qdrant Edge in this process. Some shards that owners share, and one for each owner of many passages.

All calls go through one thread: a shard takes one writer, and native calls must not block the event loop. In a shared
shard an owner's passages are searched one by one, which for few is faster than a graph. A shard of one's own has a
graph, which another process builds (see `archival_service.promoting`): here it would hold Python's global lock. A flush
holds it too, for the longer the larger the shard (0.6 s at 900,000 passages): so there are several that are shared.
"""

from __future__ import annotations

import asyncio
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import structlog

from archival_service.store import Entry, Filters, Found
from archival_service.stores import own_shards
from archival_service.stores.own_shards import OwnShard
from archival_service.stores.points import owner_key
from archival_service.stores.shard import Shard
from embedders import Vectors
from servicekit.principal import Tenant
from triptych.errors import Unavailable

T = TypeVar("T")

_log = structlog.get_logger("edge")
# So many points go to the engine at once: a search that comes in between waits some milliseconds.
_AT_ONCE = 200
_SHARED = "common-{}"
# What owners shared in earlier versions, whose points were filtered by other fields.
_BEFORE = ("shard", "shared-*")
# So many are shared; an owner's is found by a hash, and made when the first of its owners comes. Each costs a flush, so
# that more of them are no gain until there are millions of passages.
_SHARDS = 8
# So many passages of an owner are reason to look whether they should have a shard of their own.
_MUCH = 1_000
# Of so many owners is counted what they add, and then anew.
_MOST_COUNTED = 10_000


class IndexUnusable(Exception):
    """What is in the directory can't be opened as an index of these dimensions. It can be built anew."""


@dataclass
class Noted:
    """The numbers of passages of which the index was told anything, while a shard of `tenant` is being built."""

    tenant: Tenant
    numbers: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Own:
    known: OwnShard
    shard: Shard


_Shared = dict[int, Shard]
_Opened = tuple[_Shared, dict[Tenant, _Own]]


class EdgeIndex:
    """A PassageIndex whose points have a passage's number as their id."""

    def __init__(
        self, folder: Path, dimensions: int, shared: _Shared, own: dict[Tenant, _Own], thread: ThreadPoolExecutor
    ) -> None:
        self.folder, self.dimensions = folder, dimensions
        self._shared, self._own, self._thread = shared, own, thread
        self._flushing = asyncio.Lock()
        self._noted: Noted | None = None
        self._told: Counter[Tenant] = Counter()
        # Owners of whose passages the index was told many since they came here last.
        self.grown: asyncio.Queue[Tenant] = asyncio.Queue()

    @classmethod
    async def open(cls, folder: Path, dimensions: int) -> EdgeIndex:
        """Opens what is in `folder`. Raises: IndexUnusable."""
        return await cls._start(folder, dimensions, _load)

    @classmethod
    async def create(cls, folder: Path, dimensions: int) -> EdgeIndex:
        """An empty index in `folder`; one that was there is deleted first. Raises: IndexUnusable."""
        return await cls._start(folder, dimensions, _create)

    @classmethod
    async def _start(cls, folder: Path, dimensions: int, make: Callable[[Path, int], _Opened]) -> EdgeIndex:
        thread = ThreadPoolExecutor(1, thread_name_prefix="edge")
        try:
            shared, own = await asyncio.get_running_loop().run_in_executor(thread, make, folder, dimensions)
        except Exception as error:  # the engine raises nothing more specific
            thread.shutdown()
            raise IndexUnusable(str(error)) from error
        return cls(folder, dimensions, shared, own, thread)

    async def put(self, entries: Sequence[Entry]) -> None:
        for at in range(0, len(entries), _AT_ONCE):
            part = entries[at : at + _AT_ONCE]
            await self._make_room(part)
            self._note(entry.n for entry in part)
            self._count(part)
            await self.run(_put, self._by_shard(part))

    async def forget(self, numbers: Sequence[int]) -> None:
        # In all shards: whose they were is not known any more.
        for at in range(0, len(numbers), _AT_ONCE):
            part = numbers[at : at + _AT_ONCE]
            self._note(part)
            await self.run(_forget, self._shards(), part)

    async def flush(self) -> None:
        async with self._flushing:  # whoever comes second has to wait for what the first one flushes
            for shard in self._shards():
                if shard.unflushed and not shard.closed:  # it may have been replaced meanwhile
                    await self.run(shard.flush)

    async def candidates(
        self, tenant: Tenant, filters: Filters, most: int, *, vector: Vectors | None, words: str
    ) -> tuple[list[Found], list[Found]]:
        shard = self._shard_of(tenant)
        if shard is None:
            return [], []
        return await self.run(shard.candidates, tenant, filters, most, vector, words)

    async def count(self) -> int:
        return sum([await self.run(shard.count) for shard in self._shards()])

    async def built(self) -> None:
        """It is opened when it has all."""

    async def close(self) -> None:
        for shard in self._shards():
            await self.run(shard.close)
        self._thread.shutdown()

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        """Runs it in the shards' thread. Raises: Unavailable if the engine fails."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
        except Exception as error:  # the engine raises nothing more specific
            _log.error("the engine failed", error=str(error))
            raise Unavailable("the passage index failed: retry later") from error

    def begin_noting(self, tenant: Tenant) -> Noted:
        """From here on it is noted what the index is told of, for a shard that is built beside it."""
        self._noted = Noted(tenant)
        return self._noted

    def end_noting(self) -> None:
        self._noted = None

    @property
    def own_shards(self) -> int:
        """How many owners have one."""
        return len(self._own)

    def own_passages(self, tenant: Tenant) -> int:
        """How many passages the owner's shard was built of; 0 if they have none of their own."""
        return self._own[tenant].known.passages if tenant in self._own else 0

    async def shared_has(self, tenant: Tenant) -> bool:
        """Whether a shared shard has any passage of the owner's."""
        shared = self._shared.get(_place(tenant))
        return shared is not None and bool(await self.run(shared.numbers_of, tenant, 1))

    def take(self, known: OwnShard, shard: Shard) -> _Own | None:
        """From here on this is the owner's, and has all that the index was told of. Gives the one that they had."""
        replaced = self._own.get(known.tenant)
        self._own[known.tenant] = _Own(known, shard)
        return replaced

    async def drop(self, replaced: _Own) -> None:
        """Deletes a shard that was replaced."""
        await self.run(replaced.shard.close)
        await asyncio.to_thread(shutil.rmtree, replaced.known.folder, ignore_errors=True)

    async def forget_shared(self, tenant: Tenant, numbers: Sequence[int]) -> None:
        """As `forget`, in the shared shard alone: their owner has one of their own."""
        if (shared := self._shared.get(_place(tenant))) is not None:
            await self.run(shared.forget, numbers)

    def _note(self, numbers: Iterable[int]) -> None:
        if self._noted is not None:
            self._noted.numbers.update(numbers)

    def _count(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            tenant = _tenant(entry)
            self._told[tenant] += 1
            if self._told[tenant] == _MUCH:
                del self._told[tenant]
                self.grown.put_nowait(tenant)
        if len(self._told) > _MOST_COUNTED:
            self._told.clear()

    def _shards(self) -> list[Shard]:
        return [*self._shared.values(), *(own.shard for own in self._own.values())]

    def _shard_of(self, tenant: Tenant) -> Shard | None:
        own = self._own.get(tenant)
        return self._shared.get(_place(tenant)) if own is None else own.shard

    async def _make_room(self, entries: Sequence[Entry]) -> None:
        """Makes the shards that these need and that are not there yet."""
        for tenant in {_tenant(entry) for entry in entries}:
            if self._shard_of(tenant) is None:
                await self.run(self._add_shared, _place(tenant))

    def _add_shared(self, place: int) -> None:
        if place in self._shared:  # two may have seen that it is not there
            return
        folder = _shared_folder(self.folder) / str(place)
        try:
            self._shared[place] = Shard.create(folder, self.dimensions)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # a half could not be opened at the next start
            raise

    def _by_shard(self, entries: Sequence[Entry]) -> dict[Shard, list[Entry]]:
        parts: dict[Shard, list[Entry]] = {}
        for entry in entries:
            shard = self._shard_of(_tenant(entry))
            assert shard is not None, "there is room for all"
            parts.setdefault(shard, []).append(entry)
        return parts


def _tenant(entry: Entry) -> Tenant:
    return Tenant(entry.account_id, entry.user_id)


@lru_cache(_MOST_COUNTED)
def _place(tenant: Tenant) -> int:
    """Which of the shared shards is the owner's."""
    return zlib.crc32(owner_key(tenant).encode()) % _SHARDS


def _put(parts: dict[Shard, list[Entry]]) -> None:
    for shard, entries in parts.items():
        shard.put(entries)


def _forget(shards: Sequence[Shard], numbers: Sequence[int]) -> None:
    for shard in shards:
        if not shard.closed:
            shard.forget(numbers)


def _create(folder: Path, dimensions: int) -> _Opened:
    folder.mkdir(exist_ok=True, mode=0o700)
    own_shards.remove_all(folder)
    for pattern in (_SHARED.format("*"), *_BEFORE):
        for left in folder.glob(pattern):
            shutil.rmtree(left)
    return {}, {}


def _shared_folder(folder: Path) -> Path:
    """Named by how many there are: with another number the owners are elsewhere."""
    return folder / _SHARED.format(_SHARDS)


def _load(folder: Path, dimensions: int) -> _Opened:
    if any(list(folder.glob(pattern)) for pattern in _BEFORE):
        raise IndexUnusable("an older version made it")
    shared = {int(each.name): Shard.load(each, dimensions) for each in _shared_folder(folder).glob("*")}
    own: dict[Tenant, _Own] = {}
    for known in own_shards.known(folder):
        own[known.tenant] = _Own(known, Shard.load(known.folder, dimensions, alone=True))
        if (before := shared.get(_place(known.tenant))) is not None:
            # Of a move that was cut short.
            left = before.numbers_of(known.tenant, before.count())
            for at in range(0, len(left), _AT_ONCE):
                before.forget(left[at : at + _AT_ONCE])
    return shared, own
