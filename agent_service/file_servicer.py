"""Serves the files that are open in agents' contexts."""

from __future__ import annotations

from sqlalchemy import Connection

from agent_service.servicing import Servicing
from agent_service.stores import agents, open_files
from agent_service.tiers import Tiers
from agent_service.tools.desk import Desk
from servicekit import principal
from servicekit.principal import Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import agent_pb2 as pb


class FileServicer(Servicing):
    _tiers: Tiers

    async def OpenFile(self, request: pb.OpenFileRequest, context: Context) -> pb.OpenFileResponse:
        caller, desk = principal.current(), Desk(self._store, self._tiers)
        agent = await self._store.read(lambda c: agents.get(c, caller.tenant, request.agent_id))
        document = await desk.document(caller, agent, request.document_id)
        view = await desk.look(caller, document, request.start, request.characters)

        def work(connection: Connection, tenant: Tenant) -> pb.OpenFileResponse:
            changed, closed = open_files.put(connection, tenant, agent.id, [view])
            return pb.OpenFileResponse(agent=changed, closed_files=closed)

        return await self._once(request, pb.OpenFileResponse, work)

    async def CloseFiles(self, request: pb.CloseFilesRequest, context: Context) -> pb.CloseFilesResponse:
        caller = principal.current()
        if request.document_id:
            agent = await self._store.read(lambda c: agents.get(c, caller.tenant, request.agent_id))
            await Desk(self._store, self._tiers).document(caller, agent, request.document_id)

        def work(connection: Connection, tenant: Tenant) -> pb.CloseFilesResponse:
            wanted = [request.document_id] if request.document_id else None
            changed, closed = open_files.close(connection, tenant, request.agent_id, wanted)
            return pb.CloseFilesResponse(agent=changed, closed_files=closed)

        return await self._once(request, pb.CloseFilesResponse, work)
