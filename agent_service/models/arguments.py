"""Brings a call's arguments into the one form that everything behind relies on: the text of a JSON object.

Endpoints read the arguments in a history again, and some fail on what is no JSON: a broken call must not get there.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, SupportsIndex

import json_repair
import structlog

from agent_service.characters import whole
from agent_service.models.types import ModelAnswer

_log = structlog.get_logger("models")
# The one argument of a call whose own could not be read.
UNREADABLE = "unreadable_arguments"
_MAX_QUOTED = 2_000
# More than this is not worth guessing at: characters, and looks at one of them. Where there is something to mend the
# package looks a few times at each; at brackets within brackets it would look for hours.
_MAX_REPAIRED, _MAX_LOOKS = 200_000, 100_000


class _Metered(str):
    """A text whose characters can be looked at only so often. Raises: ValueError."""

    looks = 0

    def __getitem__(self, at: SupportsIndex | slice) -> str:
        self.looks += 1
        if self.looks > _MAX_LOOKS:
            raise ValueError("too much to mend")
        return super().__getitem__(at)


def settled(answer: ModelAnswer) -> ModelAnswer:
    """The answer with arguments that are JSON objects: as they came, repaired, or as UNREADABLE.

    A call that was cut at the output limit is not repaired: its end is missing, and nobody knows which.
    """
    if not answer.tool_calls:
        return answer
    cut = answer.finish_reason == "length"
    calls = [
        replace(call, name=whole(call.name), arguments=whole(_object(call.arguments, cut=cut)))
        for call in answer.tool_calls
    ]
    return replace(answer, tool_calls=calls)


def is_object(text: str) -> bool:
    """Whether the text is a JSON object, or empty, which stands for one without members."""
    return not text.strip() or isinstance(_strict(text), dict)


def loads(text: str) -> Any:
    """The JSON value that a text is, or is meant to be; None if it is neither."""
    value = _strict(text)
    return _repaired(text) if value is None else value


def _object(text: str, *, cut: bool) -> str:
    if not text.strip():
        return "{}"
    value = _strict(text)
    if isinstance(value, dict):
        return text
    if isinstance(value, str):  # encoded twice
        value = _strict(value)
    elif value is None and not cut:
        value = _repaired(text)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps({UNREADABLE: text[:_MAX_QUOTED]}, ensure_ascii=False)


def _strict(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _repaired(text: str) -> Any:
    if len(text) > _MAX_REPAIRED or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json_repair.loads(_Metered(text))
    except Exception as error:  # the edge: the package guesses, and its own assertions fail on what it did not foresee
        _log.info("arguments can't be mended", reason=type(error).__name__)  # its words may repeat the user's
        return None
    return value if value not in ("", [], {}) else None
