"""What an endpoint says of itself when it refuses a request, so that the next request is one that it takes."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

from agent_service.models.messages import IMAGES
from agent_service.models.types import Quirks, ToolMode

# Parameters without which a request means the same, or nearly.
_OPTIONAL = ("stream_options", "parallel_tool_calls", "temperature")
# As Ollama, vLLM, llama.cpp, SGLang, LM Studio and OpenRouter say it.
_NO_TOOLS = re.compile(
    r"does not support (tool|function)|support (tool use|tools|function calling)|enable-auto-tool-choice|"
    r"tool-call-parser|tools param requires|\b(tools|tool_choice)[\"'`]? (is|are) not (supported|permitted|allowed)|"
    r"(unknown|unrecognized|unsupported|extra)[^.]{0,40}\btools\b|\btools\b[^.]{0,40}extra",
    re.IGNORECASE,
)
# As the chat templates of Mistral, Gemma, Llama and Qwen say it.
_ROLES = re.compile(
    r"roles must alternate|system role not supported|only (support )?user and assistant roles|"
    r"system message must be (at the|the first)|unexpected role|role .{0,20}not supported",
    re.IGNORECASE,
)
# As OpenAI, vLLM, llama.cpp, Ollama, OpenRouter and DeepSeek say it.
_NO_IMAGES = re.compile(
    r"image_url is only supported|not a multimodal|image input is not supported|required for image input|"
    r"support image|unknown variant .?image_url|does not (have|support) vision|images? (is|are) not supported",
    re.IGNORECASE,
)


_USUAL = Quirks()


def learned(quirks: Quirks, body: dict[str, Any], message: str) -> Quirks | None:
    """What a refusal of `body` tells of the endpoint; None if it tells nothing new. `message`: the endpoint's words."""
    for name in _OPTIONAL:
        if name in body and name in message:
            return replace(quirks, without=quirks.without | {name})
    if "max_tokens" in body and "max_completion_tokens" in message:
        return replace(quirks, limit_name="max_completion_tokens")
    if "tools" in body and _NO_TOOLS.search(message):
        return replace(quirks, tools=ToolMode.PROMPTED)
    if _has_images(body) and _NO_IMAGES.search(message):
        return without_images(quirks)
    if not quirks.strict_roles and _ROLES.search(message):
        return replace(quirks, strict_roles=True)
    return None


def is_about_an_image(body: dict[str, Any], message: str) -> bool:
    """Whether a refusal of `body` is because of an image in it."""
    return _has_images(body) and "image" in message.lower()


def without_images(quirks: Quirks) -> Quirks:
    return replace(quirks, without=quirks.without | {IMAGES})


def _has_images(body: dict[str, Any]) -> bool:
    return any(isinstance(message.get("content"), list) for message in body["messages"] if isinstance(message, dict))


def to_json(quirks: Quirks) -> dict[str, Any]:
    """What `from_json` reads; only what differs from OpenAI's own endpoint."""
    if quirks == _USUAL:
        return {}
    plain, usual = _plain(quirks), _plain(_USUAL)
    return {name: value for name, value in plain.items() if value != usual[name]}


def from_json(kept: dict[str, Any]) -> Quirks:
    whole = _plain(_USUAL) | kept
    return Quirks(**{**whole, "tools": ToolMode(whole["tools"]), "without": frozenset(whole["without"])})


def _plain(quirks: Quirks) -> dict[str, Any]:
    return {**asdict(quirks), "tools": quirks.tools.value, "without": sorted(quirks.without)}
