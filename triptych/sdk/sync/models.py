# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""The models that agents can use."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.agent.v1 import agent_pb2 as pb
from triptych.sdk.sync.transport import Transport

_SERVICE = "/triptych.agent.v1.AgentService/"


class Models:
    """`client.models`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Sequence[pb.Model]:
        """Those of the server's endpoints, of your providers and of your account's; `handle` names one for an agent.

        Endpoints that can't be reached are left out.

            print([model.handle for model in client.models.list()])
        """
        request = pb.ListModelsRequest()
        return (self._transport.unary(_SERVICE + "ListModels", request, pb.ListModelsResponse)).models

    def default(self) -> str:
        """The handle that an agent without a model of its own uses; '' where there is none."""
        request = pb.ListModelsRequest()
        response = self._transport.unary(_SERVICE + "ListModels", request, pb.ListModelsResponse)
        return response.default_handle
