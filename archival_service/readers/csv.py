"""CSV and TSV: a block for each row, with the names of the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from archival_service.readers.decoding import decode
from archival_service.readers.text import MAX_CHARACTERS, Block, Unreadable, clean

_DELIMITERS = ",;\t|"


def read(data: bytes) -> Iterator[Block]:
    """The first row is taken for the names. Raises: Unreadable."""
    text = clean(decode(data))
    csv.field_size_limit(MAX_CHARACTERS)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        names = next(rows, [])
        found = False
        for row in rows:
            found = True
            yield Block(_written(names, row))
        if not found:
            yield Block(", ".join(names))
    except csv.Error as error:
        raise Unreadable("it is not CSV") from error


def _delimiter(text: str) -> str:
    """The one that gives the first row the most fields."""
    first = text.lstrip("\n").partition("\n")[0]
    return max(_DELIMITERS, key=lambda delimiter: len(next(csv.reader([first], delimiter=delimiter), [])))


def _written(names: list[str], row: list[str]) -> str:
    """`name: value` for each field that is not empty; a row longer than the names goes on without them."""
    labels = [*names, *[""] * (len(row) - len(names))]
    fields = ((label.strip(), value.strip()) for label, value in zip(labels, row, strict=False))
    return "\n".join(f"{label}: {value}" if label else value for label, value in fields if value)
