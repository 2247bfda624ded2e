"""The models that agents can use."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.agent.v1 import agent_pb2 as pb
from triptych.sdk.aio.transport import AsyncTransport

_SERVICE = "/triptych.agent.v1.AgentService/"


class AsyncModels:
    """`client.models`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> Sequence[pb.Model]:
        """Those of the server's endpoints, of your providers and of your account's; `handle` names one for an agent.

        Endpoints that can't be reached are left out.

            print([model.handle for model in await client.models.list()])
        """
        request = pb.ListModelsRequest()
        return (await self._transport.unary(_SERVICE + "ListModels", request, pb.ListModelsResponse)).models

    async def default(self) -> str:
        """The handle that an agent without a model of its own uses; '' where there is none."""
        request = pb.ListModelsRequest()
        response = await self._transport.unary(_SERVICE + "ListModels", request, pb.ListModelsResponse)
        return response.default_handle
