# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Agents' tags."""

from __future__ import annotations

from collections.abc import Iterator

from triptych.agent.v1 import agent_pb2 as pb
from triptych.sdk.sync.transport import Transport

_SERVICE = "/triptych.agent.v1.AgentService/"


class Tags:
    """`client.tags`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, contains: str = "") -> Iterator[str]:
        """The tags that your agents have, each once, by the alphabet.

        `contains`: a part of the tag.

            tags = [tag for tag in client.tags.list("team-")]
        """
        request = pb.ListAgentTagsRequest(contains=contains, page_size=1_000)
        while True:
            page = self._transport.unary(_SERVICE + "ListAgentTags", request, pb.ListAgentTagsResponse)
            for tag in page.tags:
                yield tag
            request.page_token = page.next_page_token
            if not request.page_token:
                return
