"""A Python tool's schema comes from its source, which is not run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.tools.python import source
from triptych.errors import InvalidArgument


def parameters(signature: str) -> dict[str, Any]:
    return source.read(f"def f({signature}):\n    return 1").parameters


def test_the_schema_is_what_signature_and_docstring_say() -> None:
    read = source.read(
        '''
import os

def _helper(): ...

def weather(city: str, days: int = 1, units: Literal["C", "F"] = "C") -> str:
    """Tells the weather.

    Args:
        city: Where.
        days (int): How far ahead.

    Returns:
        What it will be.
    """
    return os.getcwd()
'''
    )
    assert (read.name, read.description) == ("weather", "Tells the weather.")
    assert read.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where."},
            "days": {"type": "integer", "description": "How far ahead."},
            "units": {"enum": ["C", "F"]},
        },
        "required": ["city"],
    }


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("dict[str, bool]", {"type": "object", "additionalProperties": {"type": "boolean"}}),
        ("str | None", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ("Optional[str]", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ("Union[str, int]", {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ("'int'", {"type": "integer"}),
        ("'not python('", {}),
        ("whatever.Else", {}),
    ],
)
def test_annotations_become_schemas(annotation: str, schema: dict[str, Any]) -> None:
    assert parameters(f"x: {annotation}")["properties"]["x"] == schema


def test_keyword_arguments_without_a_default_are_required() -> None:
    assert parameters("a, b=None, *, c, d=None")["required"] == ["a", "c"]


@pytest.mark.parametrize(
    "text",
    [
        "", "x = 1", "def _f(): ...", "async def f(): ...", "def f(*a): ...", "def f(a, /): ...", "def f(", "\0",
        "def f(x=" + "(" * 5_000 + ")" * 5_000 + "): ...",
    ],
)  # fmt: skip
def test_what_is_no_tool_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="source_code"):
        source.read(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        source.read(text)
    except InvalidArgument:
        return


def test_reading_runs_nothing() -> None:
    read = source.read("raise SystemExit\ndef f(x=__import__('os').abort()): ...")
    assert read.name == "f"
