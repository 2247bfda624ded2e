"""Python that strangers wrote, parsed without harm to the process.

CPython 3.11 and 3.12 count how deep a syntax tree is, and forget to count back when it is too deep: any later parse in
the process may then fail with SystemError (https://github.com/python/cpython/issues/106905). So what may become a deep
tree is refused before.
"""

from __future__ import annotations

import ast
import io
import tokenize
from typing import Literal, TypeVar

# Deeper than anybody writes, and far from the interpreter's limit of about 3,000 levels, even all of them together.
_MOST_ELIFS = 300
_MOST_BRACKETS, _MOST_INDENTS, _MOST_CHAINED, _LONGEST_FSTRING = 20, 20, 60, 2_000
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_CHAINING_WORDS = frozenset({"not", "await", "lambda", "if", "else", "elif", "and", "or", "in", "is", "for", "yield"})
Parsed = TypeVar("Parsed", ast.Module, ast.Expression)


def module(source: str) -> ast.Module:
    """Raises: SyntaxError for what is no Python, or too deeply nested."""
    _check(source)
    return _parse(source, "exec", ast.Module)


def expression(source: str) -> ast.expr:
    """Raises: SyntaxError for what is no expression, or too deeply nested."""
    _check(source)
    return _parse(source, "eval", ast.Expression).body


def _parse(source: str, mode: Literal["exec", "eval"], kind: type[Parsed]) -> Parsed:
    try:
        tree = ast.parse(source, mode=mode)
    except (ValueError, RecursionError, MemoryError) as error:  # NUL characters; what _check has missed
        raise SyntaxError(f"it can't be parsed: {error}") from None
    assert isinstance(tree, kind)
    return tree


def _check(source: str) -> None:
    """Raises: SyntaxError."""
    if source.count("elif") > _MOST_ELIFS:  # each is inside the one before
        raise SyntaxError("it has too many elif")
    brackets = indents = 0
    # Since the last comma of each bracket, and since the line began: what may stack one level on another.
    chained = [0]
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            indents += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
            if token.string in _OPENING:
                brackets += 1
                chained[-1] += 1
                chained.append(0)
            elif token.string in _CLOSING:
                brackets -= 1
                chained = chained[:-1] or [0]
            elif token.string == "," or token.type == tokenize.NEWLINE:
                chained[-1] = 0
            elif token.type == tokenize.OP or token.string in _CHAINING_WORDS:
                chained[-1] += 1
            elif token.type == tokenize.STRING and len(token.string) > _LONGEST_FSTRING and _is_fstring(token.string):
                raise SyntaxError("an f-string is too long")
            if brackets > _MOST_BRACKETS or indents > _MOST_INDENTS or chained[-1] > _MOST_CHAINED:
                raise SyntaxError(f"it is nested too deeply in line {token.start[0]}")
    except tokenize.TokenError as error:
        raise SyntaxError(str(error.args[0])) from None


def _is_fstring(literal: str) -> bool:
    prefix = literal[: literal.index(literal[-1])]
    return "f" in prefix.lower()
