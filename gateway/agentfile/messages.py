"""Messages between recall and an agent file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.agentfile import schema
from triptych.errors import InvalidArgument
from triptych.letta import images
from triptych.letta.messages import packed_return, paired, unpacked
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

_ROLES = {
    type_pb2.ROLE_USER: "user",
    type_pb2.ROLE_ASSISTANT: "assistant",
    type_pb2.ROLE_SYSTEM: "system",
    type_pb2.ROLE_TOOL: "tool",
}
_FROM_ROLES: dict[str, type_pb2.Role.ValueType] = {name: role for role, name in _ROLES.items()}


def written(message: Message, number: int, conversation: str | None) -> dict[str, Any]:
    """`conversation`: the file's id of it; None: the agent's default one."""
    at = message.create_time.ToDatetime(UTC).isoformat()
    text, call_id = message.text, message.tool_return.tool_call_id or None
    failed = message.tool_return.status == type_pb2.TOOL_STATUS_ERROR
    if call_id:
        text = packed_return(text, failed=failed, at=at)
    returned = {"tool_call_id": call_id, "status": "error" if failed else "success", "func_response": text}
    content: list[dict[str, Any]] = []
    content += [{"type": "reasoning", "reasoning": message.reasoning, "is_native": True}] if message.reasoning else []
    content += [{"type": "text", "text": text}] if text else []
    content += map(images.part_of, message.image_urls)
    return {
        "type": "message",
        "id": f"message-{number}",
        "role": _ROLES.get(message.role, "user"),
        "content": content,
        "name": message.tool_return.name or message.name or None,
        "otid": message.otid or None,
        "tool_calls": [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
        or None,
        "tool_call_id": call_id,
        "tool_returns": [returned] if call_id else [],
        "created_at": at,
        "run_id": message.turn_id or None,
        "conversation_id": conversation,
    }


def read(messages: Sequence[schema.Message]) -> list[Message]:
    """Messages of one conversation, ready to be appended: a call is there if what it returned is, and the other way.

    Raises: InvalidArgument for a time that is none.
    """
    found: list[Message] = []
    for position, message in enumerate(messages):
        if message.role in ("approval", "summary") or (position == 0 and message.role == "system"):
            continue  # the first one of Letta's is the prompt, which is made anew here
        found.extend(_read(message))
    return list(paired(found))


def _read(message: schema.Message) -> Iterable[Message]:
    text, reasoning, shown = _text(message), _reasoning(message), _images(message)
    if text is None and not shown:
        return
    text = text or ""
    common: dict[str, Any] = {"create_time": _moment(message.created_at), "otid": message.otid or ""}
    if message.role == "tool":
        for returned in message.tool_returns or [schema.Returned(tool_call_id=message.tool_call_id)]:
            failed = returned.status == "error"
            yield Message(
                role=type_pb2.ROLE_TOOL,
                text=(unpacked(returned.func_response) if returned.func_response else None) or text,
                tool_return=type_pb2.ToolReturn(
                    tool_call_id=returned.tool_call_id or message.tool_call_id or "",
                    name=message.name or "",
                    status=type_pb2.TOOL_STATUS_ERROR if failed else type_pb2.TOOL_STATUS_SUCCESS,
                ),
                **common,
            )
        return
    calls = [
        type_pb2.ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or []
    ]
    if text or reasoning or calls or shown:
        yield Message(
            role=_FROM_ROLES[message.role],
            text=text,
            reasoning=reasoning,
            name=message.name or "",
            tool_calls=calls,
            image_urls=shown,
            **common,
        )


def _text(message: schema.Message) -> str | None:
    """What was said; None for what nobody said."""
    if isinstance(message.content, str):
        text = message.content
    else:
        text = "\n".join(part.text for part in message.content or [] if part.type == "text" and part.text)
    return unpacked(text) if message.role in ("user", "tool") else text


def _reasoning(message: schema.Message) -> str:
    parts = message.content if isinstance(message.content, list) else []
    return "\n".join(part.reasoning for part in parts if part.reasoning)


def _images(message: schema.Message) -> list[str]:
    """Those that the file holds, or says where they are; not those that it names by an id of the server it is from."""
    parts = message.content if isinstance(message.content, list) else []
    return [url for part in parts if part.type == "image" and (url := images.url_of(part.model_dump()))]


def _moment(text: str | None) -> Timestamp | None:
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument.of("messages.created_at", "must be an ISO 8601 time") from None
    stamp = Timestamp()
    stamp.FromDatetime(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    return stamp
