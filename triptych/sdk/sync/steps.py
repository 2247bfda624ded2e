# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""The model calls that turns are made of."""

from __future__ import annotations

from collections.abc import Iterator

from triptych.agent.v1 import step_pb2 as pb
from triptych.sdk.sync.transport import Transport

_SERVICE = "/triptych.agent.v1.StepService/"


class Steps:
    """`client.steps`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, step_id: str) -> pb.Step:
        """What the call cost: tokens by part, milliseconds, money if the model has a price. Raises: NotFound."""
        request = pb.GetStepRequest(step_id=step_id)
        return (self._transport.unary(_SERVICE + "GetStep", request, pb.GetStepResponse)).step

    def list(self, *, agent_id: str = "", turn_id: str = "") -> Iterator[pb.Step]:
        """Steps of an agent, or of one turn, newest first. Raises: InvalidArgument if neither is given."""
        request = pb.ListStepsRequest(agent_id=agent_id, turn_id=turn_id, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListSteps", request, pb.ListStepsResponse)
            for step in page.steps:
                yield step
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def context(self, step_id: str) -> pb.GetStepContextResponse:
        """The request that was sent to the model, as JSON, and what of it has changed since. Raises: NotFound.

        import json
        sent = json.loads((client.steps.context(step.id)).request_json)
        """
        request = pb.GetStepContextRequest(step_id=step_id)
        return self._transport.unary(_SERVICE + "GetStepContext", request, pb.GetStepContextResponse)
