"""Messages as a Letta server shows them, as recall keeps them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from letta_client.types.agents import Message as Shown

from triptych.letta import images
from triptych.letta.messages import paired, unpacked
from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

# A request may hold 4 MiB.
_BATCH_BYTES = 1024 * 1024


def batches(shown: Iterable[Shown], agent_id: str, letta_conversation_id: str, size: int) -> Iterator[list[Message]]:
    """All that was said, about `size` messages at a time; a call and what it returned are in one batch.

    The messages' ids derive from the ids that they had, from the agent they come to, and from the conversation they are
    of ('': the one that comes with the agent): a second import finds them, and two conversations may share them.
    """
    namespace = uuid.UUID(agent_id.removeprefix("agent-"))
    if letta_conversation_id:
        namespace = uuid.uuid5(namespace, letta_conversation_id)
    pending: list[Message] = []
    weight = 0
    for message in _read(shown, namespace):
        full = len(pending) >= size or weight >= _BATCH_BYTES
        if full and message.role != type_pb2.ROLE_TOOL:
            yield list(paired(pending))
            pending, weight = [], 0
        pending.append(message)
        weight += message.ByteSize()
    yield list(paired(pending))


def _read(shown: Iterable[Shown], namespace: uuid.UUID) -> Iterator[Message]:
    # One message of Letta's is shown as several, in a row and under its id: what was thought, said and called.
    for position, (source_id, group) in enumerate(groupby(shown, key=lambda each: each.id)):
        parts = list(group)
        if position == 0 and parts[0].message_type == "system_message":
            continue  # the compiled prompt, which is made anew here
        for number, message in enumerate(_made(parts)):
            message.id = f"message-{uuid.uuid5(namespace, f'{source_id}/{number}')}"
            message.otid = parts[0].otid or ""
            message.create_time.CopyFrom(_stamp(parts[0]))
            yield message


def _made(parts: list[Any]) -> Iterator[Message]:
    """What one message of Letta's is here: one message, and one for each tool that returned."""
    message, answers = Message(), list[Message]()
    for part in parts:
        kind = part.message_type
        if kind in ("user_message", "system_message"):
            message.role = type_pb2.ROLE_USER if kind == "user_message" else type_pb2.ROLE_SYSTEM
            message.text, message.name = unpacked(_text(part.content)) or "", part.name or ""
            message.image_urls.extend(_images(part.content))
        elif kind == "assistant_message":
            message.role = type_pb2.ROLE_ASSISTANT
            message.text = "\n".join(filter(None, [message.text, _text(part.content)]))
        elif kind == "reasoning_message":
            message.role = type_pb2.ROLE_ASSISTANT
            message.reasoning = "\n".join(filter(None, [message.reasoning, part.reasoning]))
        elif kind in ("tool_call_message", "approval_request_message"):
            message.role = type_pb2.ROLE_ASSISTANT
            message.tool_calls.extend(_calls(part, {call.id for call in message.tool_calls}))
        elif kind in ("tool_return_message", "approval_response_message"):
            answers.extend(_answers(part))
    if message.role and (message.text or message.reasoning or message.tool_calls or message.image_urls):
        yield message
    yield from answers


def _calls(part: Any, known: set[str]) -> Iterator[type_pb2.ToolCall]:
    """Those that are not known: newer servers show all of them, older ones the first."""
    calls = part.tool_calls if isinstance(part.tool_calls, list) else [part.tool_call]
    for call in calls:
        if call and call.tool_call_id and call.tool_call_id not in known:
            yield type_pb2.ToolCall(id=call.tool_call_id, name=call.name or "", arguments=call.arguments or "{}")


def _answers(part: Any) -> Iterator[Message]:
    """What tools returned; a person's word alone is none."""
    if part.message_type == "tool_return_message":
        returns = part.tool_returns or [part]
    else:
        returns = [each for each in part.approvals or [] if getattr(each, "type", None) == "tool"]
    for each in returns:
        failed = each.status == "error"
        yield Message(
            role=type_pb2.ROLE_TOOL,
            text=unpacked(_text(each.tool_return)) or "",
            tool_return=type_pb2.ToolReturn(
                tool_call_id=each.tool_call_id,
                name=part.name or "",
                status=type_pb2.TOOL_STATUS_ERROR if failed else type_pb2.TOOL_STATUS_SUCCESS,
            ),
        )


def _text(content: Any) -> str:
    """The text parts."""
    if isinstance(content, str):
        return content
    return "\n".join(text for part in content or [] if (text := getattr(part, "text", None)))


def _images(content: Any) -> list[str]:
    """Those that are in the message, or that it says where they are; not those that only the server there has."""
    parts = content if isinstance(content, list) else []
    return [url for part in parts if part.type == "image" and (url := images.url_of(part.model_dump()))]


def _stamp(part: Any) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(part.date)
    return stamp
