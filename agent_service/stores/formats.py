"""What may be asked of a model's text, beside being text."""

from __future__ import annotations

from servicekit import structs
from triptych.agent.v1.agent_pb2 import ModelSettings
from triptych.agent.v1.turn_pb2 import StartTurnRequest
from triptych.errors import InvalidArgument

_TYPES = ("text", "json_object", "json_schema")


def check(field: str, asking: ModelSettings | StartTurnRequest) -> None:
    """Raises: InvalidArgument for a `response_format` that is not in the OpenAI format."""
    if not asking.HasField("response_format"):
        return
    fields = asking.response_format.fields
    kind = fields["type"].string_value if "type" in fields else ""
    if kind not in _TYPES:
        raise InvalidArgument.of(field, f"response_format needs a type: {', '.join(_TYPES)}")
    schema = fields["json_schema"].struct_value.fields if "json_schema" in fields else {}
    if kind == "json_schema" and "schema" not in schema:
        raise InvalidArgument.of(field, "a response_format of type json_schema needs json_schema.schema")
    structs.check(field, asking.response_format)
