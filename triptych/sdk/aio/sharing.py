"""Agents that are shared with other users of the account."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

from triptych.agent.v1 import sharing_pb2 as pb
from triptych.agent.v1.turn_pb2 import TurnEvent
from triptych.recall.v1.recall_pb2 import Message
from triptych.sdk.aio.following import followed
from triptych.sdk.aio.transport import AsyncTransport
from triptych.sdk.aio.turns import reply
from triptych.sdk.reply import Reply
from triptych.type.v1 import type_pb2

_SERVICE = "/triptych.agent.v1.SharingService/"


class AsyncShares:
    """`client.shares`: with whom your agents are shared."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, agent_id: str, user_id: str, *, request_id: str | None = None) -> pb.AgentShare:
        """Lets a user of the account, by its id, talk with the agent in a conversation of its own.

        Its turns change no memory, and find what it said itself and the agent's archives. Raises: NotFound.

            await client.shares.create(agent.id, "user-00000000-0000-0000-0000-000000000000")
        """
        request = pb.ShareAgentRequest(agent_id=agent_id, user_id=user_id, request_id=request_id or str(uuid.uuid4()))
        return (await self._transport.unary(_SERVICE + "ShareAgent", request, pb.ShareAgentResponse)).share

    async def list(self, agent_id: str) -> list[pb.AgentShare]:
        """Oldest first; of an agent that there is none of: empty."""
        request = pb.ListAgentSharesRequest(agent_id=agent_id)
        response = await self._transport.unary(_SERVICE + "ListAgentShares", request, pb.ListAgentSharesResponse)
        return [*response.shares]

    async def revoke(self, agent_id: str, user_id: str) -> None:
        """Ends it at once; the conversation stays with you. Raises: NotFound."""
        request = pb.RevokeAgentShareRequest(agent_id=agent_id, user_id=user_id, request_id=str(uuid.uuid4()))
        await self._transport.unary(_SERVICE + "RevokeAgentShare", request, pb.RevokeAgentShareResponse)


class AsyncSharedAgents:
    """`client.shared_agents`: agents that others share with you."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> list[pb.SharedAgent]:
        """Oldest first."""
        request = pb.ListSharedAgentsRequest()
        response = await self._transport.unary(_SERVICE + "ListSharedAgents", request, pb.ListSharedAgentsResponse)
        return [*response.agents]

    async def stream(
        self, agent_id: str, text: str, *, deltas: bool = True, request_id: str | None = None
    ) -> AsyncIterator[TurnEvent]:
        """Says something to a shared agent; the turn's events, as of `client.turns.stream`.

        A lost connection is taken up where it broke. The same `request_id` follows the same turn. Raises: NotFound.
        """
        request = pb.StartSharedTurnRequest(
            agent_id=agent_id, text=text, deltas=deltas, request_id=request_id or str(uuid.uuid4())
        )

        async def opened(turn_id: str, last: int) -> AsyncIterator[TurnEvent]:
            # Sent again, the request follows the turn from its beginning.
            path = _SERVICE + "StartSharedTurn"
            async for response in self._transport.stream(path, request, pb.StartSharedTurnResponse):
                if not 0 < response.event.sequence <= last:
                    yield response.event

        async for event in followed(opened, start_seconds=self._transport.timeout_seconds):
            yield event

    async def send(self, agent_id: str, text: str, *, request_id: str | None = None) -> Reply:
        """Says something to a shared agent, and waits for the reply.

        Raises: NotFound, TurnFailed.

            for shared in await client.shared_agents.list():
                reply = await client.shared_agents.send(shared.agent_id, "When does the office open?")
        """
        return await reply(self.stream(agent_id, text, deltas=False, request_id=request_id))

    async def messages(self, agent_id: str, *, newest_first: bool = False) -> AsyncIterator[Message]:
        """What you and the agent have said to each other. Raises: NotFound."""
        order = type_pb2.SORT_ORDER_DESCENDING if newest_first else type_pb2.SORT_ORDER_ASCENDING
        request = pb.ListSharedMessagesRequest(agent_id=agent_id, order=order, page_size=100)
        while True:
            page = await self._transport.unary(_SERVICE + "ListSharedMessages", request, pb.ListSharedMessagesResponse)
            for message in page.messages:
                yield message
            request.page_token = page.next_page_token
            if not request.page_token:
                return
