"""Reads a tool's source: its name, its description and the schema of its arguments. Nothing of it is run."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from servicekit import strange_python
from triptych.errors import InvalidArgument

_FIELD = "source_code"
_SIMPLE = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null"}
_SECTION = re.compile(r"^\s*(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?):\s*$")
_ARGUMENT = re.compile(r"^\s+\**(\w+)\s*(?:\([^)]*\))?:\s*(.+)$")
Schema = dict[str, Any]


@dataclass(frozen=True)
class Function:
    name: str
    description: str
    parameters: Schema


def read(source: str) -> Function:
    """The last public function of a module. Raises: InvalidArgument for what is no Python, or has no such function."""
    try:
        tree = strange_python.module(source)
    except SyntaxError as error:
        where = f"line {error.lineno}" if error.lineno else error.msg
        raise InvalidArgument.of(_FIELD, f"is not valid Python ({where})") from None
    public = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    if not public:
        raise InvalidArgument.of(_FIELD, "must have a public function, which is the tool; it can't be async")
    node = public[-1]
    description, told = _documented(ast.get_docstring(node) or "")
    return Function(node.name, description, _parameters(node, told))


def _documented(docstring: str) -> tuple[str, dict[str, str]]:
    """A docstring's text, and what its section Args says of each argument."""
    text: list[str] = []
    told: dict[str, str] = {}
    section = ""
    for line in docstring.splitlines():
        if heading := _SECTION.match(line):
            section = heading[1]
        elif not section:
            text.append(line)
        elif section in ("Args", "Arguments", "Parameters") and (argument := _ARGUMENT.match(line)):
            told[argument[1]] = argument[2].strip()
    return "\n".join(text).strip(), told


def _parameters(node: ast.FunctionDef, told: dict[str, str]) -> Schema:
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise InvalidArgument.of(_FIELD, "the function's arguments must each have a name that it can be called with")
    without = len(arguments.args) - len(arguments.defaults)
    required = [each.arg for each in arguments.args[:without]]
    required += [each.arg for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not value]
    properties: Schema = {}
    for each in (*arguments.args, *arguments.kwonlyargs):
        described = {"description": told[each.arg]} if each.arg in told else {}
        properties[each.arg] = {**_schema(each.annotation), **described}
    return {"type": "object", "properties": properties, "required": required}


def _schema(node: ast.expr | None) -> Schema:
    """An annotation as a JSON schema; what has none to correspond to may be anything."""
    match node:
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.Constant(value=str(text)):
            return _quoted(text)
        case ast.Name(id=name) if name in _SIMPLE:
            return {"type": _SIMPLE[name]}
        case ast.Name(id="list" | "List"):
            return {"type": "array", "items": {}}
        case ast.Name(id="dict" | "Dict"):
            return {"type": "object"}
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return {"anyOf": [_schema(left), _schema(right)]}
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            return _subscript(name, inner)
    return {}


def _quoted(text: str) -> Schema:
    try:
        return _schema(strange_python.expression(text))
    except SyntaxError:
        return {}


def _subscript(name: str, inner: ast.expr) -> Schema:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match name:
        case "list" | "List" | "Sequence":
            return {"type": "array", "items": _schema(parts[0])}
        case "dict" | "Dict" | "Mapping":
            return {"type": "object", "additionalProperties": _schema(parts[-1])}
        case "Optional":
            return {"anyOf": [_schema(inner), {"type": "null"}]}
        case "Union":
            return {"anyOf": [_schema(part) for part in parts]}
        case "Literal":
            return {"enum": [part.value for part in parts if isinstance(part, ast.Constant)]}
    return {}
