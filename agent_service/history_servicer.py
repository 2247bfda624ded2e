"""Serves what blocks were: their revisions, diffs, undo, and core memory as of a time."""

from __future__ import annotations

import asyncio

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from agent_service import clock, comparing
from agent_service.servicing import Servicing
from agent_service.stores import agents, attachments, blocks, revisions, sleeps, turns, undoing
from agent_service.tiers import Tiers
from agent_service.tools import sleep
from servicekit import paging, principal, times
from servicekit.principal import Principal, Tenant
from servicekit.rpc import Context
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1.agent_pb2 import BlockRevision
from triptych.errors import FailedPrecondition, InvalidArgument


class HistoryServicer(Servicing):
    _tiers: Tiers

    async def ListBlockRevisions(
        self, request: pb.ListBlockRevisionsRequest, context: Context
    ) -> pb.ListBlockRevisionsResponse:
        tenant = principal.tenant()
        query = ("ListBlockRevisions", *tenant, request.block_id)
        page = paging.read(size=request.page_size, token=request.page_token, query=query, newest_first=True)
        found, token = await self._store.read(lambda c: revisions.list_page(c, tenant, request.block_id, page))
        return pb.ListBlockRevisionsResponse(revisions=found, next_page_token=token)

    async def GetBlockAsOf(self, request: pb.GetBlockAsOfRequest, context: Context) -> pb.GetBlockAsOfResponse:
        tenant, at = principal.tenant(), _at(request.time, given=request.HasField("time"))
        found = await self._store.read(lambda c: revisions.as_of(c, tenant, request.block_id, at))
        return pb.GetBlockAsOfResponse(revision=found)

    async def GetCoreMemoryAsOf(
        self, request: pb.GetCoreMemoryAsOfRequest, context: Context
    ) -> pb.GetCoreMemoryAsOfResponse:
        tenant, at = principal.tenant(), _at(request.time, given=request.HasField("time"))

        def work(connection: Connection) -> pb.GetCoreMemoryAsOfResponse:
            agents.get(connection, tenant, request.agent_id)
            found = attachments.core_memory_as_of(connection, tenant, request.agent_id, at)
            return pb.GetCoreMemoryAsOfResponse(blocks=found)

        return await self._store.read(work)

    async def DiffBlockRevisions(
        self, request: pb.DiffBlockRevisionsRequest, context: Context
    ) -> pb.DiffBlockRevisionsResponse:
        if request.from_revision < 0 or request.to_revision < 0:
            raise InvalidArgument.of("from_revision", "revisions count from 1")
        tenant = principal.tenant()
        older, newer = await self._store.read(lambda c: _compared(c, tenant, request))
        diff = await asyncio.to_thread(_diff, older, newer)
        return pb.DiffBlockRevisionsResponse(diff=diff, older=older, newer=newer)

    async def UndoBlockRevision(
        self, request: pb.UndoBlockRevisionRequest, context: Context
    ) -> pb.UndoBlockRevisionResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.UndoBlockRevisionResponse:
            undone = undoing.undo(connection, tenant, request.block_id, request.revision)
            return pb.UndoBlockRevisionResponse(block=undone)

        return await self._once(request, pb.UndoBlockRevisionResponse, work)

    async def UndoSleepTimeTurn(
        self, request: pb.UndoSleepTimeTurnRequest, context: Context
    ) -> pb.UndoSleepTimeTurnResponse:
        def work(connection: Connection, tenant: Tenant) -> pb.UndoSleepTimeTurnResponse:
            sleeps.sources(connection, tenant, request.turn_id)
            if turns.get(connection, tenant, request.turn_id).live:
                raise FailedPrecondition("the turn is not over: cancel it first, or wait")
            saved = sleep.saved(request.turn_id, turns.events(connection, tenant, request.turn_id))
            undone = undoing.undo_turn(connection, tenant, request.turn_id)
            return pb.UndoSleepTimeTurnResponse(blocks=undone, passage_ids=saved)

        undone = await self._once(request, pb.UndoSleepTimeTurnResponse, work)
        # A call that breaks off here goes on with this when it is sent again.
        caller = Principal(principal.tenant())
        for passage_id in undone.passage_ids:
            await self._tiers.delete_passage(caller, passage_id, f"undo/{passage_id}")
        return undone


def _compared(
    connection: Connection, tenant: Tenant, request: pb.DiffBlockRevisionsRequest
) -> tuple[BlockRevision, BlockRevision]:
    """Raises: NotFound."""
    last = request.to_revision or int(blocks.get(connection, tenant, request.block_id).etag)
    newer = revisions.get(connection, tenant, request.block_id, last)
    first = request.from_revision or last - 1
    # Before the first revision there was nothing.
    return revisions.get(connection, tenant, request.block_id, first) if first else BlockRevision(), newer


def _diff(older: BlockRevision, newer: BlockRevision) -> str:
    names = (f"revision {older.revision}", f"revision {newer.revision}")
    return comparing.unified(older.value.split("\n"), newer.value.split("\n"), *names)


def _at(time: Timestamp, *, given: bool) -> int:
    """Microseconds. Raises: InvalidArgument."""
    if not given:
        raise InvalidArgument.of("time", "must be given")
    times.check("time", time)
    return clock.microseconds(time)
