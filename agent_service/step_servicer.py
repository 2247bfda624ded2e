"""Serves steps: what each model call cost, and what it was sent."""

from __future__ import annotations

from sqlalchemy import Connection

from agent_service.replay import Replayer
from agent_service.servicing import window_of
from agent_service.store import Store
from agent_service.stores import steps
from agent_service.stores.requests import once
from servicekit import principal
from servicekit.rpc import Context
from triptych.agent.v1 import step_pb2 as pb
from triptych.agent.v1.step_pb2_grpc import StepServiceServicer
from triptych.errors import InvalidArgument

MAX_TAGS = 20
MAX_TAG = 100


class StepServicer(StepServiceServicer):
    def __init__(self, store: Store, replayer: Replayer) -> None:
        self._store, self._replayer = store, replayer

    async def GetStep(self, request: pb.GetStepRequest, context: Context) -> pb.GetStepResponse:
        tenant = principal.tenant()
        step, _ = await self._store.read(lambda c: steps.get(c, tenant, request.step_id))
        return pb.GetStepResponse(step=step)

    async def ListSteps(self, request: pb.ListStepsRequest, context: Context) -> pb.ListStepsResponse:
        tenant, window = principal.tenant(), window_of(request, newest_first=True)
        found, token = await self._store.read(
            lambda c: steps.list_page(c, tenant, request.agent_id, request.turn_id, window)
        )
        return pb.ListStepsResponse(steps=found, next_page_token=token)

    async def GetStepContext(self, request: pb.GetStepContextRequest, context: Context) -> pb.GetStepContextResponse:
        return await self._replayer.context(principal.current(), request.step_id)

    async def SetStepFeedback(self, request: pb.SetStepFeedbackRequest, context: Context) -> pb.SetStepFeedbackResponse:
        if len(request.tags) > MAX_TAGS or any(not 0 < len(tag) <= MAX_TAG for tag in request.tags):
            raise InvalidArgument.of("tags", f"must be at most {MAX_TAGS}, each of 1 to {MAX_TAG} characters")
        if request.feedback not in pb.StepFeedback.values():
            raise InvalidArgument.of("feedback", "is not known")
        tenant = principal.tenant()

        def work(connection: Connection) -> pb.SetStepFeedbackResponse:
            return pb.SetStepFeedbackResponse(step=steps.judge(connection, tenant, request))

        return await self._store.write(
            lambda c: once(c, tenant, request.request_id, request, pb.SetStepFeedbackResponse, lambda: work(c)),
            alone=tenant,
        )
