"""Texts and images of messages, as Letta's and OpenAI's programs write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def url_of(part: Mapping[str, Any]) -> str:
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


def read(content: str | Sequence[Mapping[str, Any]] | None) -> tuple[str, list[str]]:
    """The text and the images' URLs of a message's content; None has neither. Raises: ValueError for other parts."""
    if isinstance(content, str) or content is None:
        return content or "", []
    texts: list[str] = []
    urls: list[str] = []
    for part in content:
        text = part.get("text")
        if part.get("type", "text") == "text" and isinstance(text, str):
            texts.append(text)
        elif url := url_of(part):
            urls.append(url)
        else:
            raise ValueError("only parts of type text, image and image_url are supported")
    return "\n".join(texts), urls


def part_of(url: str) -> dict[str, Any]:
    """The part, in Letta's form."""
    head, comma, data = url.partition(",")
    if url.startswith("data:") and comma:
        media_type = head.removeprefix("data:").partition(";")[0]
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    return {"type": "image", "source": {"type": "url", "url": url}}
