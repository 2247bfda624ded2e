"""This process as one of the replicas: it is known from its start to its end, and looks after what others leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import Connection

from agent_service.store import Store
from agent_service.stores import replicas
from servicekit import deadline
from servicekit.background import went_well
from triptych.errors import TriptychError

_log = structlog.get_logger("replicas")
_ROUND_SECONDS = 1.0


class Replica:
    """`id`: the owner of this process's leases."""

    def __init__(self, store: Store, replica_id: str) -> None:
        self.id = replica_id
        self._store, self._address = store, ""
        self._presence = store.presence(replicas.lock_name(replica_id))
        self._watching: asyncio.Task[None] | None = None

    async def enter(self) -> None:
        """Is there from now on, before it claims anything. Raises: Unavailable."""
        await self._presence.check()
        await self._store.write(lambda c: replicas.register(c, self.id))

    async def serve(self, address: str, look_after: Callable[[], Awaitable[int]]) -> None:
        """Says where it serves, and from now on has `look_after` take up, every second, what nobody runs."""
        self._address = address
        await self._say()
        self._watching = asyncio.get_running_loop().create_task(self._watch(look_after))

    async def stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def close(self) -> None:
        """Is no longer there: what it ran is free for others. Its turns have to be stopped before."""
        try:
            await self._store.write(lambda c: replicas.remove(c, self.id))
        except TriptychError as error:  # the others see by its lock that it is gone
            _log.warning("the store can't be told that this replica leaves", reason=error.reason_name)
        await self._presence.close()

    async def _say(self) -> None:
        def work(connection: Connection) -> None:
            replicas.remove_gone(connection, self.id)
            replicas.advertise(connection, self.id, self._address)

        await self._store.write(work)

    async def _watch(self, look_after: Callable[[], Awaitable[int]]) -> None:
        deadline.bind(None)
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            await went_well(self._round(look_after), "a round was left out")

    async def _round(self, look_after: Callable[[], Awaitable[int]]) -> None:
        if await self._presence.check():
            await self._say()
        if taken := await look_after():
            _log.info("took up turns that nobody ran", turns=taken)
