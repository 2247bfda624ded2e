"""Tool calls for models whose endpoint has none: described in the prompt, made in text, as Hermes models make them.

Source of the form: NousResearch/Hermes-Function-Calling. `dialects` reads the calls back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent_service.models.messages import ChatMessage
from agent_service.models.types import ToolSchema


def messages(history: Sequence[ChatMessage], tools: Sequence[ToolSchema]) -> list[ChatMessage]:
    """The history without tool messages, and with the tools in its first message."""
    told = [_plain(message) for message in history]
    if not tools:
        return told
    if not told or told[0]["role"] != "system":
        told.insert(0, {"role": "system", "content": ""})
    told[0] = {**told[0], "content": f"{told[0]['content']}\n\n{_described(tools)}".lstrip()}
    return told


def _described(tools: Sequence[ToolSchema]) -> str:
    lines = "\n".join(
        json.dumps(
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}, ensure_ascii=False
        )
        for tool in tools
    )
    return (
        f"You may call these functions:\n<tools>\n{lines}\n</tools>\n"
        "To call one, answer with nothing but this, once for each call:\n"
        '<tool_call>\n{"name": "the function\'s name", "arguments": {"its": "arguments"}}\n</tool_call>\n'
        "What it returns comes in <tool_response>. Without a call, what you write is told to the user."
    )


def _plain(message: ChatMessage) -> ChatMessage:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    if not message.get("tool_calls"):
        return message
    calls = [_call(call["function"]) for call in message["tool_calls"]]
    said = [message["content"]] if message.get("content") else []
    return {"role": "assistant", "content": "\n".join([*said, *calls])}


def _call(function: dict[str, Any]) -> str:
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        arguments = {}
    called = json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{called}\n</tool_call>"
