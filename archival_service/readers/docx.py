"""Word (docx): paragraphs, headings by their styles, tables row by row."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

import docx
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph
from lxml import etree

from archival_service.readers.text import Block, Unreadable

MAX_UNPACKED = 256 * 1024 * 1024
MAX_PARTS = 20_000
# The beginning of an OLE file: Word encrypts by putting the docx into one; its old format is one too.
_OLE = b"\xd0\xcf\x11\xe0"
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)


def read(data: bytes) -> Iterator[Block]:
    """Raises: Unreadable."""
    if data.startswith(_OLE):
        raise Unreadable("it is encrypted, or in Word's old format: save it as .docx without a password")
    _check_size(data)
    try:
        document = docx.Document(io.BytesIO(data))
    except (KeyError, ValueError, zipfile.BadZipFile, etree.XMLSyntaxError, OpcError) as error:
        raise Unreadable("it is damaged, or not a Word document") from error
    for item in document.iter_inner_content():
        if isinstance(item, Paragraph):
            yield Block(item.text, _level(item))
        else:
            yield from _rows(item)


def _check_size(data: bytes) -> None:
    """A zip of some kilobytes can unpack to gigabytes; none of it is unpacked to find that out."""
    try:
        parts = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise Unreadable("it is damaged, or not a Word document") from error
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise Unreadable(f"it unpacks to more than {MAX_UNPACKED // 2**20} MiB")


def _level(paragraph: Paragraph) -> int:
    style = paragraph.style.name if paragraph.style is not None else None
    if style == "Title":
        return 1
    heading = _HEADING.fullmatch(style or "")
    return int(heading[1]) if heading else 0


def _rows(table: Table) -> Iterator[Block]:
    for row in table.rows:
        # A merged cell comes once for each column that it spans.
        cells = list(dict.fromkeys(cell._tc for cell in row.cells))
        texts = {cell._tc: cell.text.strip() for cell in row.cells}
        yield Block(" | ".join(texts[cell] for cell in cells))
