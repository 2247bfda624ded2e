"""A caller's batches."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.backends import Backends
from gateway.batches.runner import BatchRunner
from gateway.store import Store
from gateway.stores import batches
from gateway.stores.batches import Batch, Item
from servicekit import principal, scopes
from triptych.agent.v1 import agent_pb2, turn_pb2
from triptych.errors import NotFound


class Batches:
    def __init__(self, store: Store, backends: Backends, runner: BatchRunner) -> None:
        self._store, self._backends, self._runner = store, backends, runner

    async def create(self, starts: Sequence[turn_pb2.StartTurnRequest], request_id: str) -> Batch:
        """From here on all of it is run, though this process ends.

        Raises: PermissionDenied, NotFound for an agent; FailedPrecondition REQUEST_ID_REUSED, and for too many.
        """
        scopes.check(principal.current(), "CreateBatch")
        back, tenant = self._backends, principal.tenant()
        for agent_id in dict.fromkeys(start.agent_id for start in starts):
            await back.agent_peer.unary(back.agents.GetAgent, agent_pb2.GetAgentRequest(agent_id=agent_id))
        made = await self._store.write(lambda c: batches.create(c, tenant, starts, request_id), alone=tenant)
        self._runner.wake()
        return made

    async def get(self, batch_id: str) -> Batch:
        """Raises: NotFound."""
        tenant = principal.tenant()
        return await self._store.read(lambda c: batches.get(c, tenant, batch_id))

    async def list_page(self, size: int, *, before_id: str, after_id: str, descending: bool) -> list[Batch]:
        tenant = principal.tenant()
        return await self._store.read(
            lambda c: batches.list_next(c, tenant, size, before_id=before_id, after_id=after_id, descending=descending)
        )

    async def items(self, batch_id: str, agent_id: str = "") -> list[Item]:
        """Raises: NotFound."""
        tenant = principal.tenant()
        return await self._store.read(lambda c: batches.items(c, tenant, batch_id, agent_id))

    async def cancel(self, batch_id: str) -> Batch:
        """Starts nothing more of it, and stops what runs. Raises: PermissionDenied, NotFound."""
        scopes.check(principal.current(), "CancelBatch")
        back, tenant = self._backends, principal.tenant()
        for turn_id in await self._store.write(lambda c: batches.cancel(c, tenant, batch_id), alone=tenant):
            try:
                await back.agent_peer.unary(back.turns.CancelTurn, turn_pb2.CancelTurnRequest(turn_id=turn_id))
            except NotFound:  # it went with its agent
                continue
        return await self.get(batch_id)
