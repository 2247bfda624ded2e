"""Which files are meant, and what they are called in the archive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Named:
    """A file. `name`: its path from the directory that was given; for a file that was given itself, its name."""

    path: Path
    name: str


def find(paths: Iterable[Path]) -> tuple[list[Named], list[tuple[str, str]]]:
    """The files, and (name, why) of what can't be taken. Hidden files in directories are left out."""
    found: dict[str, Named] = {}
    failed: list[tuple[str, str]] = []
    for path in paths:
        if not path.exists():
            failed.append((str(path), "no such file or directory"))
            continue
        for file in _below(path) if path.is_dir() else (Named(path, _text(path.name)),):
            # One of two files of a name would take the other's place in the archive.
            other = found.setdefault(file.name, file)
            if other.path.resolve() != file.path.resolve():
                failed.append((str(file.path), f"would have the name of {other.path}: add it by its directory"))
    return list(found.values()), failed


def _below(folder: Path) -> Iterator[Named]:
    top = folder.resolve().name
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield Named(path, _text(f"{top}/{inside.as_posix()}" if top else inside.as_posix()))


def _text(name: str) -> str:
    """A name can be any bytes; what is no UTF-8 among them can't be sent."""
    return os.fsencode(name).decode("utf-8", errors="replace")
