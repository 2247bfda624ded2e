"""PDF: the text layer, page by page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from pypdf import PasswordType, PdfReader
from pypdf.errors import PyPdfError

from archival_service.readers.text import Block, Unreadable

MAX_PAGES = 10_000
_EMPTY_LINES = re.compile(r"\n[ \t]*\n\s*")


def read(data: bytes) -> Iterator[Block]:
    """Raises: Unreadable for one that needs a password, is damaged, or has no text."""
    if b"%PDF-" not in data[:1024]:
        raise Unreadable("it is not a PDF, whatever its name says")
    try:
        yield from _pages(PdfReader(io.BytesIO(data)))
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        # A damaged file makes the library trip over whatever it finds in place of what it expects.
        raise Unreadable("it is damaged, or not a PDF") from error


def _pages(reader: PdfReader) -> Iterator[Block]:
    # Many files are encrypted with an empty password, so that anybody can read them and few can print.
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        raise Unreadable("it is encrypted: save it without a password")
    if len(reader.pages) > MAX_PAGES:
        raise Unreadable(f"it has more than {MAX_PAGES:,} pages: split it")
    found = False
    for number, page in enumerate(reader.pages, start=1):
        text = page.extract_text()
        found = found or bool(text.strip())
        for paragraph in _EMPTY_LINES.split(text):
            yield Block(paragraph, page=number)
    if not found:
        raise Unreadable("no text found in it: it may be scanned images, which need OCR first")
