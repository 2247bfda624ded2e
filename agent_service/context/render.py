"""Stored messages as the OpenAI chat format has them."""

from __future__ import annotations

from collections.abc import Iterable

from agent_service.models.types import ChatMessage
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_ROLES = {
    type_pb2.ROLE_SYSTEM: "system",
    type_pb2.ROLE_USER: "user",
    type_pb2.ROLE_ASSISTANT: "assistant",
    type_pb2.ROLE_TOOL: "tool",
}


def render(messages: Iterable[Message]) -> list[ChatMessage]:
    """Always valid for the API: a tool's message without its call is left out, an unanswered call is answered."""
    rendered: list[ChatMessage] = []
    open_calls: dict[str, str] = {}
    for message in messages:
        if message.role == type_pb2.ROLE_TOOL:
            if open_calls.pop(message.tool_return.tool_call_id, None) is not None:
                rendered.append(_tool(message.tool_return.tool_call_id, message.text))
            continue
        rendered.extend(_tool(call_id, "outcome unknown") for call_id in open_calls)
        open_calls = {call.id: call.name for call in message.tool_calls}
        rendered.append(_spoken(message))
    rendered.extend(_tool(call_id, "outcome unknown") for call_id in open_calls)
    return rendered


def _tool(call_id: str, text: str) -> ChatMessage:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _spoken(message: Message) -> ChatMessage:
    rendered: ChatMessage = {"role": _ROLES.get(message.role, "user"), "content": message.text}
    if message.name:
        rendered["name"] = message.name
    if message.tool_calls:
        rendered["content"] = message.text or None
        rendered["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in message.tool_calls
        ]
    return rendered
