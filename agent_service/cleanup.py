"""Purges in the other tiers what deleted agents and conversations have left there, however often it takes."""

from __future__ import annotations

import asyncio

import structlog

from agent_service.store import Store
from agent_service.stores import cleanups, conversation_removal
from agent_service.stores.cleanups import Cleanup
from agent_service.tiers import Tiers
from servicekit import deadline
from servicekit.background import went_well
from servicekit.principal import Principal, Tenant
from triptych.errors import NotFound

_log = structlog.get_logger("cleanup")
_RETRY_SECONDS = 10.0
_LATER = "purge failed, will be tried again"
# A deletion answers when the tiers are purged, unless that takes longer than this.
_PATIENCE_SECONDS = 3.0


class Cleaner:
    """What is to be purged is noted in the store with the deletion; the note goes when both tiers have done it."""

    def __init__(self, store: Store, tiers: Tiers) -> None:
        self._store, self._tiers = store, tiers
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Takes up what an earlier process has left, then waits for more."""
        self._wanted.set()
        self._task = asyncio.get_running_loop().create_task(self._loop())

    async def run_soon(self) -> None:
        """Purges now, and waits a little for it to be done."""
        self._idle.clear()
        self._wanted.set()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("a purge goes on in the background")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        deadline.bind(None)
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if await went_well(self._purge_all(), _LATER):
                self._idle.set()
            else:
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wanted.set)

    async def _purge_all(self) -> bool:
        """Whether all went well: what fails holds up nothing behind it."""
        well = [await went_well(self._purge(each), _LATER) for each in await self._store.read(cleanups.pending)]
        for tenant, conversation_id in await self._store.read(conversation_removal.pending):
            well.append(await went_well(self._purge_conversation(tenant, conversation_id), _LATER))
        return all(well)

    async def _purge(self, cleanup: Cleanup) -> None:
        caller = Principal(cleanup.tenant)
        await self._tiers.purge_messages(caller, cleanup.agent_id)
        try:
            await self._tiers.purge_archive(caller, cleanup.archive_id)
        except NotFound:  # nothing was ever inserted
            _log.debug("no archive to purge")
        await self._store.write(lambda c: cleanups.done(c, cleanup.tenant, cleanup.agent_id))

    async def _purge_conversation(self, tenant: Tenant, conversation_id: str) -> None:
        await self._tiers.purge_conversation(Principal(tenant), conversation_id)
        await self._store.write(lambda c: conversation_removal.done(c, tenant, conversation_id))
