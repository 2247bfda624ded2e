"""What Letta's server does to messages before it keeps them, undone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from triptych.recall.v1.recall_pb2 import Message
from triptych.type.v1 import type_pb2

# What Letta's server says to the model on its own behalf, as a user's message.
_NOISE = ("heartbeat", "login")


def unpacked(text: str) -> str | None:
    """What a user said or a tool returned, which may be packed in JSON with the time and more; None: nobody said it."""
    if not text.startswith("{"):
        return text
    try:
        packed = json.loads(text)
    except ValueError:
        return text
    if not isinstance(packed, dict):
        return text
    if packed.get("type") in _NOISE:
        return None
    if packed.get("type") not in ("user_message", "system_alert") and packed.get("status") not in ("OK", "Failed"):
        return text
    message = packed.get("message")
    if isinstance(message, str):
        return message
    return text if message is None else json.dumps(message, ensure_ascii=False)


def packed_return(text: str, *, failed: bool, at: str) -> str:
    """What a tool returned, as Letta's server keeps it: it reads nothing else. `at`: when, in any form."""
    status = "Failed" if failed else "OK"
    return json.dumps({"status": status, "message": text, "time": at}, ensure_ascii=False)


def paired(messages: Sequence[Message]) -> Iterable[Message]:
    """Without calls that nothing answers before the next who speaks, and answers to no such call."""
    for position, message in enumerate(messages):
        if message.role == type_pb2.ROLE_TOOL:
            continue
        answers: dict[str, Message] = {}
        for later in messages[position + 1 :]:
            if later.role != type_pb2.ROLE_TOOL:
                break
            answers.setdefault(later.tool_return.tool_call_id, later)
        calls = [call for call in message.tool_calls if call.id in answers]
        del message.tool_calls[:]
        message.tool_calls.extend(calls)
        if message.text or message.reasoning or message.image_urls or calls:
            yield message
        for call in calls:
            answers[call.id].tool_return.name = call.name
            yield answers[call.id]
