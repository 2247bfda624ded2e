# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Conversations: an agent's threads, each with a window of its own over one memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from triptych.agent.v1 import agent_pb2 as pb
from triptych.sdk.sync.transport import Transport
from triptych.sdk.said import struct

_SERVICE = "/triptych.agent.v1.AgentService/"


class Conversations:
    """`client.conversations`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        agent_id: str,
        *,
        title: str = "",
        summary: str = "",
        metadata: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> pb.Conversation:
        """Another thread of the agent. `summary`: what it shall take as said before.

        Raises: NotFound.

            thread = client.conversations.create(agent.id, title="Plans")
            client.turns.send(agent.id, "Let us plan.", conversation_id=thread.id)
            other = client.conversations.fork(thread.id, title="What if")
        """
        request = pb.CreateConversationRequest(
            conversation=pb.Conversation(agent_id=agent_id, title=title, summary=summary, metadata=struct(metadata)),
            request_id=request_id or str(uuid.uuid4()),
        )
        response = self._transport.unary(_SERVICE + "CreateConversation", request, pb.CreateConversationResponse)
        return response.conversation

    def get(self, conversation_id: str) -> pb.Conversation:
        """Raises: NotFound."""
        request = pb.GetConversationRequest(conversation_id=conversation_id)
        response = self._transport.unary(_SERVICE + "GetConversation", request, pb.GetConversationResponse)
        return response.conversation

    def list(self, agent_id: str = "") -> Iterator[pb.Conversation]:
        """The agent's conversations, or all of the user's; newest first."""
        request = pb.ListConversationsRequest(agent_id=agent_id, page_size=100)
        while True:
            page = self._transport.unary(_SERVICE + "ListConversations", request, pb.ListConversationsResponse)
            for conversation in page.conversations:
                yield conversation
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def update(
        self, conversation: pb.Conversation, *fields: str, request_id: str | None = None
    ) -> pb.Conversation:
        """Writes the named fields: summary, title, metadata. Raises: NotFound, InvalidArgument."""
        request = pb.UpdateConversationRequest(
            conversation=conversation, update_mask=FieldMask(paths=fields), request_id=request_id or str(uuid.uuid4())
        )
        response = self._transport.unary(_SERVICE + "UpdateConversation", request, pb.UpdateConversationResponse)
        return response.conversation

    def delete(self, conversation_id: str, *, request_id: str | None = None) -> None:
        """Deletes it with its turns and messages. Raises: NotFound; FailedPrecondition for an agent's default one."""
        request = pb.DeleteConversationRequest(
            conversation_id=conversation_id, request_id=request_id or str(uuid.uuid4())
        )
        self._transport.unary(_SERVICE + "DeleteConversation", request, pb.DeleteConversationResponse)

    def fork(self, conversation_id: str, *, title: str = "", request_id: str | None = None) -> pb.Conversation:
        """A conversation that begins with the window and summary of this one. Raises: NotFound, Aborted."""
        request = pb.ForkConversationRequest(
            conversation_id=conversation_id, title=title, request_id=request_id or str(uuid.uuid4())
        )
        response = self._transport.unary(_SERVICE + "ForkConversation", request, pb.ForkConversationResponse)
        return response.conversation
