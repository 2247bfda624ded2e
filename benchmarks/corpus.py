"""Real English in any amount: sentences of the docstrings and help texts that come with this Python."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORDS = re.compile(r"[A-Za-z]{2,}")
_MOST_FILES = 4_000


@cache
def sentences() -> tuple[str, ...]:
    """Sentences of 6 to 40 words, each once, always in the same order on the same installation."""
    paths = sysconfig.get_paths()
    files = [file for name in ("stdlib", "purelib") for file in sorted(Path(paths[name]).rglob("*.py"))]
    random.Random(0).shuffle(files)
    found = dict.fromkeys(sentence for file in files[:_MOST_FILES] for sentence in _in_file(file))
    return tuple(found)


def passages(count: int, seed: int = 0, *, longest: int = 3) -> Iterator[str]:
    """`count` texts of one to `longest` sentences that stand somewhere in the corpus."""
    generator, known = random.Random(seed), sentences()
    for _ in range(count):
        yield " ".join(generator.choice(known) for _ in range(generator.randint(1, longest)))


def questions(count: int, seed: int = 1) -> Iterator[str]:
    """`count` queries: some words, in their order, of one sentence."""
    generator, known = random.Random(seed), sentences()
    for _ in range(count):
        words = _WORDS.findall(generator.choice(known))
        start = generator.randrange(max(1, len(words) - 5))
        yield " ".join(words[start : start + generator.randint(3, 6)])


def _in_file(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):
        return
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            for sentence in _SENTENCE.split(" ".join(text.split())):
                if 6 <= len(_WORDS.findall(sentence)) <= 40 and len(sentence) < 400 and sentence.isprintable():
                    yield sentence
