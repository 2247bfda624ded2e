"""Bytes to text, whatever they are encoded in."""

from __future__ import annotations

import codecs

import charset_normalizer

from archival_service.readers.text import Unreadable

# The longer ones first: UTF-32's little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 64 * 1024
# Text has hardly any control characters, and what is not text has many: 11% of random bytes.
_MOST_CONTROLS = 0.05
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
_WESTERN = "cp1252"
# What is in use. Others differ from these in some letters, so a guess among all would often be wrong.
_USUAL = "cp1252 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 koi8_r cp932 euc_jp gb18030 big5 cp949 cp874".split()


def decode(data: bytes) -> str:
    """Raises: Unreadable for what is not text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    sample = data[:_SAMPLE]
    if sample and len(sample) - len(sample.translate(None, _CONTROLS)) > _MOST_CONTROLS * len(sample):
        raise Unreadable("it is not text: it holds binary data")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_guessed(data), errors="replace")


def _guessed(data: bytes) -> str:
    """The likeliest encoding of what is not UTF-8; among equals, and where nothing tells, Western Europe's."""
    matches = charset_normalizer.from_bytes(data[:_SAMPLE], cp_isolation=_USUAL)
    best = matches.best()
    if best is None:
        return _WESTERN
    equals = (each for each in matches if (each.chaos, each.coherence) == (best.chaos, best.coherence))
    return _WESTERN if any(_WESTERN in each.could_be_from_charset for each in equals) else best.encoding
