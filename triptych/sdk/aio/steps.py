"""The model calls that turns are made of."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

from triptych.agent.v1 import step_pb2 as pb
from triptych.sdk.aio.transport import AsyncTransport

_SERVICE = "/triptych.agent.v1.StepService/"


class AsyncSteps:
    """`client.steps`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, step_id: str) -> pb.Step:
        """What the call cost: tokens by part, milliseconds, money if the model has a price. Raises: NotFound."""
        request = pb.GetStepRequest(step_id=step_id)
        return (await self._transport.unary(_SERVICE + "GetStep", request, pb.GetStepResponse)).step

    async def list(self, *, agent_id: str = "", turn_id: str = "") -> AsyncIterator[pb.Step]:
        """Steps of an agent, of one turn, or of all your agents, newest first."""
        request = pb.ListStepsRequest(agent_id=agent_id, turn_id=turn_id, page_size=100)
        while True:
            page = await self._transport.unary(_SERVICE + "ListSteps", request, pb.ListStepsResponse)
            for step in page.steps:
                yield step
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def context(self, step_id: str) -> pb.GetStepContextResponse:
        """The request that was sent to the model, as JSON, and what of it has changed since.

        Raises: NotFound.

            step = await anext(client.steps.list(agent_id=agent.id))
            sent = json.loads((await client.steps.context(step.id)).request_json)
        """
        request = pb.GetStepContextRequest(step_id=step_id)
        return await self._transport.unary(_SERVICE + "GetStepContext", request, pb.GetStepContextResponse)

    async def judge(
        self, step_id: str, *, good: bool | None, tags: Sequence[str] = (), request_id: str | None = None
    ) -> pb.Step:
        """Says whether a step was good; None takes back what was said.

        Raises: NotFound, InvalidArgument.

            await client.steps.judge(step.id, good=False, tags=["invented"])
        """
        feedback = {
            None: pb.STEP_FEEDBACK_UNSPECIFIED,
            True: pb.STEP_FEEDBACK_POSITIVE,
            False: pb.STEP_FEEDBACK_NEGATIVE,
        }
        request = pb.SetStepFeedbackRequest(
            step_id=step_id, feedback=feedback[good], tags=tags, request_id=request_id or str(uuid.uuid4())
        )
        return (await self._transport.unary(_SERVICE + "SetStepFeedback", request, pb.SetStepFeedbackResponse)).step
