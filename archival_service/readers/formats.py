"""Which reader reads which kind of file."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import PurePosixPath

from archival_service.readers.text import Block

TEXT = "text/plain"
# Media type → module of this package.
_READERS = {
    TEXT: "plain",
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/json": "json",
    "application/x-ndjson": "json",
    "application/jsonl": "json",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
}
_BY_ENDING = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
}


def media_type(given: str, file_name: str) -> str:
    """What was given (without its parameters), else by the name's ending; what has no known one may be text."""
    bare = given.partition(";")[0].strip().lower()
    return bare or _BY_ENDING.get(PurePosixPath(file_name).suffix.lower(), TEXT)


def known(kind: str) -> bool:
    """Whether files of this media type can be read. Any `text/…` can, as text."""
    return kind in _READERS or kind.startswith("text/")


def read(data: bytes, kind: str) -> Iterable[Block]:
    """The blocks of a file of this media type. Its reader, with the library it needs, is loaded now.

    Raises: Unreadable, also while the blocks are read.
    """
    module = importlib.import_module(f"archival_service.readers.{_READERS.get(kind, 'plain')}")
    blocks: Iterable[Block] = module.read(data)
    return blocks
