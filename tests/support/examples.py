"""Code that docstrings show: each indented part of one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def of_docstring(text: str) -> list[str]:
    """The indented parts, each as a program."""
    programs: list[list[str]] = [[]]
    for line in inspect.cleandoc(text).splitlines():
        if line.startswith("    "):
            programs[-1].append(line[4:])
        elif line:
            programs.append([])
        elif programs[-1]:
            programs[-1].append("")
    return ["\n".join(program).strip() for program in programs if program]


def of_modules(*modules: ModuleType) -> Iterator[tuple[str, str]]:
    """(whose, the program) of all public classes that these modules define, and of their public methods."""
    for module in modules:
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ != module.__name__ or name.startswith("_"):
                continue
            documented: list[tuple[str, Any]] = [(name, kind), *((f"{name}.{n}", m) for n, m in vars(kind).items())]
            for whose, each in documented:
                if not whose.rpartition(".")[2].startswith("_"):
                    for program in of_docstring(getattr(each, "__doc__", None) or ""):
                        yield whose, program
