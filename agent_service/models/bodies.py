"""A request's body as it is sent: the same for the same request and quirks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from agent_service.models import emulation, prompted
from agent_service.models.messages import IMAGES, ChatMessage, Encoded, as_fragment, decoded
from agent_service.models.types import ModelRequest, Quirks, ToolMode

# A small model that a grammar keeps inside a JSON string may never find the end of it.
_EMULATED_OUTPUT_TOKENS = 512


def body(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The JSON object for `/chat/completions`, for `serialized`."""
    emulated = is_emulated(request, quirks)
    if emulated and emulation.is_stuck(request.plain):
        request = replace(request, tools=())
    made: dict[str, Any] = {
        "model": request.model,
        "messages": _messages(request, quirks, emulated=emulated),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if emulated:
        made["response_format"] = emulation.response_format(request.tools)  # without tools: a reply
    elif request.response_format is not None:
        made["response_format"] = request.response_format
    if request.tools and quirks.tools is ToolMode.NATIVE:
        made["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in request.tools
        ]
        if request.parallel_tool_calls is not None:
            made["parallel_tool_calls"] = request.parallel_tool_calls
    if request.temperature is not None:
        made["temperature"] = request.temperature
    if limit := request.max_output_tokens or (_EMULATED_OUTPUT_TOKENS if emulated else None):
        made[quirks.limit_name] = limit
    return {name: value for name, value in made.items() if name not in quirks.without}


def serialized(made: dict[str, Any]) -> bytes:
    """A body's bytes: the same for the same body."""
    try:
        return orjson.dumps(made, default=as_fragment)
    except TypeError:  # a number in a tool's schema that only Python's own takes
        made = made | {"messages": decoded(made["messages"])}
        return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def is_emulated(request: ModelRequest, quirks: Quirks) -> bool:
    """Whether the answer is to be one JSON object, a call or a reply."""
    return quirks.tools is ToolMode.EMULATED and bool(request.tools)


def _messages(request: ModelRequest, quirks: Quirks, *, emulated: bool) -> Sequence[ChatMessage | Encoded]:
    if not (emulated or quirks.tools is ToolMode.PROMPTED or quirks.strict_roles or _pictured(request.messages)):
        return [message for message in request.messages if message]  # an empty history is nothing at all in JSON
    messages = request.plain
    if emulated:
        messages = emulation.messages(messages, request.tools)
    elif quirks.tools is ToolMode.PROMPTED:
        messages = prompted.messages(messages, request.tools)
    messages = alternating(messages) if quirks.strict_roles else messages
    shown = IMAGES not in quirks.without
    return [_with_images(message, shown=shown) if IMAGES in message else message for message in messages]


def _pictured(messages: Sequence[ChatMessage | Encoded]) -> bool:
    return any(each.has_images if isinstance(each, Encoded) else IMAGES in each for each in messages)


def _with_images(message: ChatMessage, *, shown: bool) -> ChatMessage:
    """A message with images in the API's form: its content is a list of parts."""
    made = dict(message)
    urls, text = made.pop(IMAGES), made["content"]
    if not shown:
        told = ["[an image, which you can't be shown]"] * len(urls)
        return {**made, "content": "\n".join([*([text] if text else []), *told])}
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {**made, "content": [{"type": "text", "text": text}, *parts] if text else parts}


def alternating(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """One system message first, then user and assistant by turns: what is said by the same one is joined.

    System messages further on are told by the user's side, in brackets. Tool calls and results stay as they are.
    """
    made: list[ChatMessage] = []
    for position, message in enumerate(messages):
        told = message
        if message["role"] == "system" and position and made and made[-1]["role"] != "system":
            told = {"role": "user", "content": f"[{message['content']}]"}
        if made and _joins(made[-1], told):
            made[-1] = {"role": told["role"], "content": f"{made[-1]['content']}\n\n{told['content']}"}
        else:
            made.append(told)
    return made


def _joins(before: ChatMessage, message: ChatMessage) -> bool:
    plain = all(
        isinstance(each.get("content"), str) and not each.get("tool_calls") and IMAGES not in each
        for each in (before, message)
    )
    return plain and before["role"] == message["role"] != "tool"
