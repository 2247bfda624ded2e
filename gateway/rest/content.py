"""A message's content as clients send it and get it back: text, or parts of text and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triptych.errors import InvalidArgument
from triptych.letta import images

Parts = str | Sequence[dict[str, Any]]


def read(content: Parts) -> tuple[str, list[str]]:
    """The text and the images' URLs of a content in Letta's or in OpenAI's form. Raises: InvalidArgument."""
    try:
        return images.read(content)
    except ValueError as error:
        raise InvalidArgument.of("messages.content", str(error)) from None


def text_of(content: Parts) -> str:
    """Raises: InvalidArgument for parts that are no text."""
    text, urls = read(content)
    if urls:
        raise InvalidArgument.of("messages.content", "only text parts are supported here")
    return text


def shown(text: str, urls: Sequence[str]) -> str | list[dict[str, Any]]:
    """A message's content in Letta's form."""
    if not urls:
        return text
    return [*([{"type": "text", "text": text}] if text else []), *map(images.part_of, urls)]
