"""What a user's own tool must be: a name and a schema that every model's API takes, within bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from agent_service import characters
from agent_service.tools import registry
from agent_service.tools.base import ClientTool
from agent_service.tools.python import source
from servicekit import structs
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1 import turn_pb2
from triptych.errors import InvalidArgument

# What the OpenAI API takes as a function's name.
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MAX_DESCRIPTION = 20_000
MAX_SCHEMA = 50_000
MAX_SCHEMA_DEPTH = 20
MAX_SOURCE = 100_000
MAX_TAGS = 100
MAX_CLIENT_TOOLS = 100


def check(tool: pb.Tool) -> None:
    """Raises: InvalidArgument for what can't be kept, or can't be shown to a model."""
    check_name("name", tool.name)
    if len(tool.description) > MAX_DESCRIPTION or "\0" in tool.description:
        raise InvalidArgument.of("description", f"must be at most {MAX_DESCRIPTION:,} characters, without NUL")
    if len(tool.tags) > MAX_TAGS:
        raise InvalidArgument.of("tags", f"must be at most {MAX_TAGS}")
    if tool.return_char_limit < 0:
        raise InvalidArgument.of("return_char_limit", "must not be negative")
    structs.check("metadata", tool.metadata)
    function(tool)


def check_name(field: str, name: str) -> None:
    """Raises: InvalidArgument."""
    if not NAME.fullmatch(name):
        raise InvalidArgument.of(field, "must be 1 to 64 letters, digits, underscores or hyphens")
    if name in registry.TOOLS:
        raise InvalidArgument.of(field, f"{name} is the name of a built-in tool")


def function(tool: pb.Tool) -> dict[str, Any]:
    """The tool's schema as a function's: `name`, `description`, `parameters`. Raises: InvalidArgument."""
    given = _json("json_schema", tool.json_schema)
    parameters = given.get("parameters", {"type": "object", "properties": {}})
    description = tool.description or str(given.get("description", ""))
    return {"name": tool.name, "description": description, "parameters": _object("json_schema", parameters)}


def read_source(tool: pb.Tool) -> None:
    """Fills in a Python tool's name, description and schema from its source. Raises: InvalidArgument."""
    if len(tool.source_code) > MAX_SOURCE or "\0" in tool.source_code:
        raise InvalidArgument.of("source_code", f"must be at most {MAX_SOURCE:,} characters, without NUL")
    read = source.read(tool.source_code)
    if tool.name and tool.name != read.name:
        raise InvalidArgument.of("source_code", f"its last public function is not called {tool.name[:64]}")
    tool.name = read.name
    tool.description = tool.description or read.description
    given = _json("json_schema", tool.json_schema).get("parameters")
    tool.json_schema = json.dumps({"parameters": given or read.parameters})


def name_in_schema(tool: pb.Tool) -> str:
    """The name that the schema gives the function, or ''. Raises: InvalidArgument for what is no JSON object."""
    name = _json("json_schema", tool.json_schema).get("name", "")
    return name if isinstance(name, str) else ""


def client_tools(wanted: Iterable[turn_pb2.ClientTool]) -> list[ClientTool]:
    """The tools that a caller brings for one turn. Raises: InvalidArgument."""
    made: dict[str, ClientTool] = {}
    for index, tool in enumerate(wanted):
        field = f"client_tools[{index}]"
        if index >= MAX_CLIENT_TOOLS:
            raise InvalidArgument.of("client_tools", f"must be at most {MAX_CLIENT_TOOLS}")
        check_name(f"{field}.name", tool.name)
        if tool.name in made:
            raise InvalidArgument.of(f"{field}.name", "is there twice")
        parameters = _json(f"{field}.parameters", tool.parameters) or {"type": "object", "properties": {}}
        made[tool.name] = ClientTool(tool.name, tool.description[:MAX_DESCRIPTION], _object(field, parameters))
    return list(made.values())


def _json(field: str, text: str) -> dict[str, Any]:
    if len(text) > MAX_SCHEMA:
        raise InvalidArgument.of(field, f"must be at most {MAX_SCHEMA:,} characters")
    try:
        given = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise InvalidArgument.of(field, "is not valid JSON") from None
    if not isinstance(given, dict):
        raise InvalidArgument.of(field, "must be a JSON object")
    return dict(characters.whole_value(given)) if "\\u" in text else given


def _object(field: str, parameters: Any) -> dict[str, Any]:
    """The schema of a function's parameters. Raises: InvalidArgument."""
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise InvalidArgument.of(field, "parameters must be the schema of an object")
    if _deeper_than(parameters, MAX_SCHEMA_DEPTH):
        raise InvalidArgument.of(field, f"parameters must not be nested deeper than {MAX_SCHEMA_DEPTH}")
    return {"properties": {}, **parameters, "type": "object"}


def _deeper_than(node: Any, levels: int) -> bool:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if not children:
        return False
    return levels == 0 or any(_deeper_than(child, levels - 1) for child in children)
