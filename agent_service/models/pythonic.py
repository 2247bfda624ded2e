"""Calls that a model writes as Python, `[save(text="…")]`, and values that it writes as text where a type is wanted."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_service.models.types import ToolSchema
from servicekit import strange_python

# Python's parser is not for texts without bounds.
_MAX_CHARACTERS = 100_000


@dataclass(frozen=True)
class Called:
    """`arguments`: the text of a JSON object, as far as the model wrote one."""

    name: str
    arguments: str

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> Called:
        return cls(name, json.dumps(values, ensure_ascii=False, default=str))


def read(text: str, tools: Sequence[ToolSchema]) -> list[Called] | None:
    """The calls that a text is; None if it is anything else. Values are literals; nothing is run."""
    if len(text) > _MAX_CHARACTERS or "(" not in text:
        return None
    try:
        parsed = strange_python.expression(text.strip())
        nodes = parsed.elts if isinstance(parsed, ast.List | ast.Tuple) else [parsed]
        return [_called(node, tools) for node in nodes] or None
    except (SyntaxError, ValueError, TypeError):
        return None


def _called(node: ast.expr, tools: Sequence[ToolSchema]) -> Called:
    """Raises: ValueError if it is no call with literal arguments."""
    if not isinstance(node, ast.Call):
        raise ValueError("not a call")
    target = node.func
    # Llama's built-in tools are called as `brave_search.call(…)`.
    if isinstance(target, ast.Attribute) and target.attr == "call":
        target = target.value
    if not isinstance(target, ast.Name):
        raise ValueError("not a function's name")
    order = _properties(target.id, tools)
    values = dict(zip(order, map(ast.literal_eval, node.args), strict=False))
    if len(node.args) > len(order):
        raise ValueError("more arguments than it takes")
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("not a named argument")
        values[keyword.arg] = ast.literal_eval(keyword.value)
    return Called.of(target.id, values)


def typed(values: Mapping[str, str], name: str, tools: Sequence[ToolSchema]) -> dict[str, Any]:
    """The values of a call of the tool `name`, all written as text, as the types that its schema wants."""
    wanted = _properties(name, tools)
    return {key: _value(text, wanted.get(key, {})) for key, text in values.items()}


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    if schema.get("type", "string") == "string" and "anyOf" not in schema:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text.strip(), text)


def _properties(name: str, tools: Sequence[ToolSchema]) -> dict[str, Any]:
    for tool in tools:
        if tool.name == name:
            return tool.properties
    return {}
