"""Token counts without a tokenizer: nothing is downloaded, and every model counts differently anyway.

English text has about four characters a token in the tokenizers of today's models; other scripts have fewer, so bytes
of UTF-8 are counted rather than characters. How far off that is for a model is learnt from its endpoint (calibration).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from agent_service.models.messages import IMAGES, ChatMessage
from agent_service.models.types import ToolSchema

BYTES_PER_TOKEN = 4
# What the chat format adds to each message.
_PER_MESSAGE = 4
# Of about a megapixel: endpoints count 765 (OpenAI) to 1,334 (Anthropic), and calibration learns the rest.
_PER_IMAGE = 1_000


def of_text(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def of_message(message: dict[str, Any]) -> int:
    """Of a message in the OpenAI chat format."""
    size = of_text(message.get("content") or "")
    for call in message.get("tool_calls") or ():
        size += of_text(call["function"]["name"]) + of_text(call["function"]["arguments"])
    return size + _PER_MESSAGE + _PER_IMAGE * len(message.get(IMAGES) or ())


def of_messages(messages: Iterable[ChatMessage]) -> int:
    return sum(map(of_message, messages))


def of_tools(tools: Sequence[ToolSchema]) -> int:
    return sum(_of_tool(tool.text) for tool in tools)


@lru_cache(1_000)
def _of_tool(text: str) -> int:
    """Agents share most of their tools."""
    return of_text(text)
