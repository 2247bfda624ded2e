"""Python of strangers is parsed without harm to the parser, which all in the process share."""

from __future__ import annotations

import ast

import pytest

from servicekit import strange_python

DEEP = {
    "brackets": "(" * 50_000,
    "closed brackets": "[" * 5_000 + "]" * 5_000,
    "unary": "-" * 20_000 + "1",
    "not": "not " * 20_000 + "x",
    "attributes": "a" + ".a" * 20_000,
    "sums": "1" + "+1" * 20_000,
    "calls": "f" + "()" * 20_000,
    "lambdas": "lambda: " * 5_000 + "1",
    "conditions": "1 if x else " * 5_000 + "1",
    "f-string": 'f"{' + "-" * 20_000 + '1}"',
    "elif": "if a: b\n" + "elif a: b\n" * 20_000,
    "indents": "".join(" " * level + "if a:\n" for level in range(90)) + " " * 90 + "b\n",
    "with commas": "[1, " * 5_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_what_is_nested_too_deeply_is_refused_and_spoils_no_later_parse(name: str) -> None:
    for parse in (strange_python.module, strange_python.expression):
        with pytest.raises(SyntaxError):
            parse(DEEP[name])
    assert ast.parse("x = [1, (2, {3: 4})]").body


@pytest.mark.parametrize("source", ["x = ", "\0", "def", "'", "   x\n  y", "\ud800"])
def test_what_is_no_python_is_a_syntax_error(source: str) -> None:
    with pytest.raises(SyntaxError):
        strange_python.module(source)


def test_what_people_write_is_parsed() -> None:
    table = "TABLE = {" + ", ".join(f"{n}: -{n} + {n}" for n in range(2_000)) + "}\n"
    functions = "\n".join(
        f"def f{n}(a: int = -1, *b, **c) -> dict[str, int]:\n    return {{'a': a if a else [x for x in b]}}"
        for n in range(50)
    )
    assert len(strange_python.module(table + functions).body) == 51
    assert isinstance(strange_python.expression('[save(text="a (b) [c]", times=-2)]'), ast.List)
