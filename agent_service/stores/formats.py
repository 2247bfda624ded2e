"""What may be asked of a model's text, beside being text."""

from __future__ import annotations

import json

from triptych.errors import InvalidArgument

_TYPES = ("text", "json_object", "json_schema")
_MAX_CHARACTERS = 100_000
_MAX_HANDLE = 500


def check_handle(field: str, handle: str) -> None:
    """A model's name; '' means the default one. Raises: InvalidArgument if it can't be one."""
    if len(handle) > _MAX_HANDLE or not handle.isprintable():
        raise InvalidArgument.of(field, f"a model's name has at most {_MAX_HANDLE} printable characters")


def check(field: str, text: str) -> None:
    """`text`: a `response_format`, or '' for none. Raises: InvalidArgument if it is not JSON in the OpenAI format."""
    if not text:
        return
    if len(text) > _MAX_CHARACTERS:
        raise InvalidArgument.of(field, f"response_format must be at most {_MAX_CHARACTERS:,} characters")
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict):
        raise InvalidArgument.of(field, "response_format must be a JSON object")
    if wanted.get("type") not in _TYPES:
        raise InvalidArgument.of(field, f"response_format needs a type: {', '.join(_TYPES)}")
    schema = wanted.get("json_schema")
    if wanted["type"] == "json_schema" and not (isinstance(schema, dict) and isinstance(schema.get("schema"), dict)):
        raise InvalidArgument.of(field, "a response_format of type json_schema needs json_schema.schema")
