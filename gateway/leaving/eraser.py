"""Erases users in all tiers. What is to be erased is in the store, so a crash only delays it."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import Connection

from gateway.backends import Backends
from gateway.store import Store
from gateway.stores import batches, erasures, groups, keys, requests, usage, users
from gateway.stores.rows import now
from gateway.usage.book import UsageBook
from servicekit import deadline
from servicekit.background import went_well
from servicekit.principal import Principal, Tenant
from triptych.agent.v1 import upkeep_pb2
from triptych.archival.v1 import archival_pb2
from triptych.recall.v1 import recall_pb2

_log = structlog.get_logger("eraser")
_RETRY_SECONDS = 10.0
_LATER = "an erasure failed, will be tried again"
_PATIENCE_SECONDS = 5.0
_PURGE_SECONDS = 60.0
# Every call that was under way when its user was disabled is over by then: the longest that nobody cuts takes a minute.
_GRACE_SECONDS = 90.0
_SWEEP_SECONDS = 10.0


class Eraser:
    """Core first: it stops the user's turns, which write to the other two. The user itself goes last."""

    def __init__(self, store: Store, backends: Backends, book: UsageBook) -> None:
        self._store, self._backends, self._book = store, backends, book
        self._wanted, self._idle = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Takes up what an earlier process has left, then waits for more."""
        self._wanted.set()
        self._tasks = [asyncio.create_task(work) for work in (self._loop(), self._sweeps())]

    async def run_soon(self) -> None:
        """Erases now, and waits a little for it to be done."""
        self._idle.clear()
        self._wanted.set()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("an erasure goes on in the background")

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _loop(self) -> None:
        deadline.bind(None)
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if await went_well(self._erase_all(), _LATER):
                self._idle.set()
            else:
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wanted.set)

    async def _erase_all(self) -> bool:
        """Whether all went well: one that fails holds up none behind it."""
        unfinished = await self._store.read(erasures.unfinished)
        return all([await went_well(self._erase(*each), _LATER) for each in unfinished])

    async def _erase(self, tenant: Tenant, erasure_id: str) -> None:
        """Each step can run again: under the same `request_id` a tier answers what it answered first."""
        removed = await self._purge(tenant, erasure_id)
        await self._store.write(lambda c: erasures.note(c, tenant, removed))
        await self._store.write(lambda c: erasures.note(c, tenant, _purge_access(c, tenant), ended=True))
        self._book.drop(tenant)
        _log.info("a user was erased", erasure=erasure_id)

    async def _sweeps(self) -> None:
        deadline.bind(None)
        while True:
            await went_well(self._sweep_all(), _LATER)
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _sweep_all(self) -> None:
        """Removes what calls that were under way have written behind the erasure of their users."""
        before = now() - int(_GRACE_SECONDS * 1_000_000)
        for each in await self._store.read(lambda c: erasures.unswept(c, before)):
            await went_well(self._sweep(*each), _LATER)

    async def _sweep(self, tenant: Tenant, erasure_id: str) -> None:
        removed = await self._purge(tenant, f"{erasure_id}/swept")
        await self._store.write(lambda c: erasures.sweep(c, tenant, {**removed, **_purge_access(c, tenant)}))

    async def _purge(self, tenant: Tenant, request_id: str) -> dict[str, int]:
        removed = await self._purge_core(tenant, request_id)
        removed |= await self._purge_recall(tenant, request_id)
        removed |= await self._purge_archival(tenant, request_id)
        return removed

    async def _purge_core(self, tenant: Tenant, request_id: str) -> dict[str, int]:
        purged = await self._backends.agent_peer.unary(
            self._backends.upkeep.PurgeUser,
            upkeep_pb2.PurgeUserRequest(request_id=request_id),
            caller=Principal(tenant),
            seconds=_PURGE_SECONDS,
        )
        return {f"core.{table}": count for table, count in purged.removed.items()}

    async def _purge_recall(self, tenant: Tenant, request_id: str) -> dict[str, int]:
        purged = await self._backends.recall_peer.unary(
            self._backends.recall.PurgeMessages,
            recall_pb2.PurgeMessagesRequest(all=True, request_id=request_id),
            caller=Principal(tenant),
            seconds=_PURGE_SECONDS,
        )
        return {"recall.messages": purged.purged_count}

    async def _purge_archival(self, tenant: Tenant, request_id: str) -> dict[str, int]:
        purged = await self._backends.archival_peer.unary(
            self._backends.archival.PurgeArchives,
            archival_pb2.PurgeArchivesRequest(all=True, request_id=request_id),
            caller=Principal(tenant),
            seconds=_PURGE_SECONDS,
        )
        return {"archival.archives": purged.purged_archives, "archival.passages": purged.purged_passages}


def _purge_access(connection: Connection, tenant: Tenant) -> dict[str, int]:
    """What the gateway has of the user. Of the audit log the events stay: who did what, and no words."""
    return {
        "access.batches": batches.remove_of(connection, tenant),
        "access.groups": groups.remove_of(connection, tenant),
        "access.requests": requests.remove_of(connection, tenant),
        "access.keys": keys.remove_of(connection, *tenant),
        "access.usage": usage.remove(connection, tenant),
        "access.users": users.remove(connection, *tenant),
    }
