"""Commands and settings that the pages name, as a reader would type them."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("triptych", "make", "python")
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
_ASSIGNED = re.compile(r"[A-Z][A-Z0-9_]*=")


def commands(page: str) -> Iterator[tuple[list[str], bool]]:
    """(the words of a command of ours, whether it is complete), of blocks and of the running text.

    In the running text a command may be named without all that it needs.
    """
    blocks = [_typed(language, block) for language, block in _FENCED.findall(page)]
    rest = _FENCED.sub("", page)
    blocks.append([line.strip() for line in rest.splitlines() if line.startswith("    ")])
    for line in itertools.chain(*blocks):
        for words in _of_line(line):
            yield words, True
    for span in _SPAN.findall(rest):
        for words in _of_line(" ".join(span.split())):
            yield words, False


def _typed(language: str, block: str) -> list[str]:
    """The lines of a block that are typed and not answered."""
    lines = block.replace("\\\n", " ").splitlines()
    if language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return lines if language in ("sh", "bash") else []


def _of_line(line: str) -> Iterator[list[str]]:
    """Each command of ours in it. `[…]` is what may be left out, `a|b` one or the other: both are shown."""
    if not any(program in line for program in PROGRAMS):
        return
    try:
        words = shlex.split(re.sub(r"[\[\]]", "", line), comments=True)
    except ValueError:  # a sentence with an apostrophe
        return
    words = [*itertools.dropwhile(_ASSIGNED.match, words)]
    if not words or words[0].rpartition("/")[2] not in PROGRAMS:
        return
    ends = [number for number, word in enumerate(words) if word in ("|", "&&", ">", ";", "&")]
    words = [words[0].rpartition("/")[2], *words[1 : ends[0] if ends else None]]
    yield from map(list, itertools.product(*(word.split("|") for word in words)))
