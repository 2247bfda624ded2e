"""Short ways to write down what is said, and to call recall_service."""

from __future__ import annotations

import uuid

from google.protobuf.timestamp_pb2 import Timestamp

from servicekit import paging
from servicekit.paging import Page
from triptych.recall.v1.recall_pb2 import AppendMessagesRequest, Message
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence


def said(
    text: str, role: type_pb2.Role.ValueType = type_pb2.ROLE_USER, *, at: int | None = None, **more: str
) -> Message:
    """A message. `at`: seconds since 1970."""
    return Message(text=text, role=role, create_time=None if at is None else Timestamp(seconds=at), **more)


def batch(
    *messages: Message | str, agent: str = "agent-1", conversation: str = "conv-1", request: str = "", fence: int = 0
) -> AppendMessagesRequest:
    """An append; texts are the user's messages, and an empty `request` means a new one."""
    return AppendMessagesRequest(
        agent_id=agent,
        conversation_id=conversation,
        request_id=request or str(uuid.uuid4()),
        fence=Fence(scope=conversation, token=fence) if fence else None,
        messages=[said(each) if isinstance(each, str) else each for each in messages],
    )


def page(size: int = 50, *, token: str = "", descending: bool = False) -> Page:
    order = type_pb2.SORT_ORDER_DESCENDING if descending else type_pb2.SORT_ORDER_ASCENDING
    return paging.read(size=size, token=token, query=("test",), order=order)


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]
