"""Text out of JSON that is none yet: JSON can name halves of characters (UTF-16 surrogates), which UTF-8 can't hold."""

from __future__ import annotations

from typing import Any


def whole(text: str) -> str:
    """The text with halves that belong together joined, and those that are alone replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def whole_value(value: Any) -> Any:
    """The same for every text in a JSON value."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [whole_value(each) for each in value]
    if isinstance(value, dict):
        return {whole(name): whole_value(each) for name, each in value.items()}
    return value


class Halves:
    """Joins characters whose halves come in two pieces of a stream."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """What is whole now."""
        text = self._half + piece
        end = len(text) - ("\ud800" <= text[-1:] <= "\udbff")
        self._half = text[end:]
        return whole(text[:end])

    def end(self) -> str:
        """What is left."""
        half, self._half = self._half, ""
        return whole(half)
