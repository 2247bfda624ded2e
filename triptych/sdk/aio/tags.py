"""Agents' tags."""

from __future__ import annotations

from collections.abc import AsyncIterator

from triptych.agent.v1 import agent_pb2 as pb
from triptych.sdk.aio.transport import AsyncTransport

_SERVICE = "/triptych.agent.v1.AgentService/"


class AsyncTags:
    """`client.tags`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, contains: str = "") -> AsyncIterator[str]:
        """The tags that your agents have, each once, by the alphabet.

        `contains`: a part of the tag.

            tags = [tag async for tag in client.tags.list("team-")]
        """
        request = pb.ListAgentTagsRequest(contains=contains, page_size=1_000)
        while True:
            page = await self._transport.unary(_SERVICE + "ListAgentTags", request, pb.ListAgentTagsResponse)
            for tag in page.tags:
                yield tag
            request.page_token = page.next_page_token
            if not request.page_token:
                return
