"""A message's content as clients send it and get it back: text, or parts of text and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triptych.errors import InvalidArgument

Parts = str | Sequence[dict[str, Any]]


def read(content: Parts) -> tuple[str, list[str]]:
    """The text and the images' URLs of a content in Letta's or in OpenAI's form. Raises: InvalidArgument."""
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    urls: list[str] = []
    for part in content:
        kind = part.get("type", "text")
        if kind == "text" and isinstance(text := part.get("text"), str):
            texts.append(text)
        elif url := image_url(part):
            urls.append(url)
        else:
            raise InvalidArgument.of("messages.content", "only parts of type text, image and image_url are supported")
    return "\n".join(texts), urls


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
    return [*([{"type": "text", "text": text}] if text else []), *map(image, urls)]


def image_url(part: dict[str, Any]) -> str:
    """Where the image of a part is, or what it is as a data URL; '' for what is no image, or not at hand."""
    image, source = part.get("image_url"), part.get("source")
    if part.get("type") == "image_url":
        url = image.get("url") if isinstance(image, dict) else image
    elif part.get("type") == "image" and isinstance(source, dict):
        url = source.get("url")
        if source.get("type") == "base64" or (source.get("type") == "letta" and source.get("data")):
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    else:
        url = None
    return url if isinstance(url, str) else ""


def image(url: str) -> dict[str, Any]:
    """An image in Letta's form."""
    head, comma, data = url.partition(",")
    if url.startswith("data:") and comma:
        media_type = head.removeprefix("data:").partition(";")[0]
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    return {"type": "image", "source": {"type": "url", "url": url}}
