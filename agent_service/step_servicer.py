"""Serves steps: what each model call cost, and what it was sent."""

from __future__ import annotations

from agent_service.replay import Replayer
from agent_service.store import Store
from agent_service.stores import steps
from agent_service.stores.rows import Window
from servicekit import paging, principal
from servicekit.rpc import Context
from triptych.agent.v1 import step_pb2 as pb
from triptych.agent.v1.step_pb2_grpc import StepServiceServicer
from triptych.errors import InvalidArgument


class StepServicer(StepServiceServicer):
    def __init__(self, store: Store, replayer: Replayer) -> None:
        self._store, self._replayer = store, replayer

    async def GetStep(self, request: pb.GetStepRequest, context: Context) -> pb.GetStepResponse:
        tenant = principal.tenant()
        step, _ = await self._store.read(lambda c: steps.get(c, tenant, request.step_id))
        return pb.GetStepResponse(step=step)

    async def ListSteps(self, request: pb.ListStepsRequest, context: Context) -> pb.ListStepsResponse:
        tenant = principal.tenant()
        if not request.turn_id and not request.agent_id:
            raise InvalidArgument.of("agent_id", "give an agent_id or a turn_id")
        query = ("ListSteps", *tenant, request.agent_id, request.turn_id)
        page = paging.read(
            size=request.page_size, token=request.page_token, query=query, order=request.order, newest_first=True
        )
        found, token = await self._store.read(
            lambda c: steps.list_page(c, tenant, request.agent_id, request.turn_id, Window(page))
        )
        return pb.ListStepsResponse(steps=found, next_page_token=token)

    async def GetStepContext(self, request: pb.GetStepContextRequest, context: Context) -> pb.GetStepContextResponse:
        return await self._replayer.context(principal.current(), request.step_id)
