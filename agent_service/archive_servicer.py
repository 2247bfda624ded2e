"""Serves which archives an agent has."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from agent_service.servicing import Servicing
from agent_service.stores import agents, tools
from agent_service.tiers import Tiers
from agent_service.tools import registry
from servicekit import principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import agent_pb2 as pb


class ArchiveServicer(Servicing):
    _tiers: Tiers

    async def AttachArchive(self, request: pb.AttachArchiveRequest, context: Context) -> pb.AttachArchiveResponse:
        caller = principal.current()
        if request.archive_id != agents.own_archive_id(request.agent_id):  # which is made by the first insert
            await self._tiers.get_archive(caller, request.archive_id)

        def work(connection: Connection, tenant: Tenant) -> pb.AttachArchiveResponse:
            tools.require(connection, tenant, registry.others(request.tools))
            agent = agents.get(connection, tenant, request.agent_id)
            wanted = pb.Agent(
                id=agent.id,
                archive_ids=_with(agent.archive_ids, [request.archive_id]),
                tools=_with(agent.tools, request.tools),
            )
            return pb.AttachArchiveResponse(agent=agents.change(connection, tenant, wanted, ["archive_ids", "tools"]))

        return await self._once(request, pb.AttachArchiveResponse, work)

    async def DetachArchive(self, request: pb.DetachArchiveRequest, context: Context) -> pb.DetachArchiveResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.DetachArchiveResponse:
            agent = agents.get(connection, tenant, request.agent_id)
            kept = [each for each in agent.archive_ids if each != request.archive_id]
            changed = agents.change(connection, tenant, pb.Agent(id=agent.id, archive_ids=kept), ["archive_ids"])
            return pb.DetachArchiveResponse(agent=changed)

        return await self._once(request, pb.DetachArchiveResponse, work)


def _with(there: Sequence[str], more: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*there, *more]))
