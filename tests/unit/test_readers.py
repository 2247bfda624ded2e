"""Every format gives the text a person would read in it, and what is none says why."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from archival_service.readers import formats
from archival_service.readers.text import Document, Unreadable, assemble
from tests.support import documents


def read(data: bytes, name: str) -> Document:
    return assemble(formats.read(data, formats.media_type("", name)))


def headings(document: Document) -> list[tuple[int, str]]:
    return [(span.level, document.text[span.start : span.end]) for span in document.spans if span.level]


def test_text_is_paragraphs() -> None:
    document = read(b"one\r\nline\r\n\r\n \r\ntwo\x00", "a.txt")
    assert document.text == "one\nline\n\ntwo"
    assert len(document.spans) == 2


def test_markdown_is_its_source_and_a_hash_in_code_is_no_heading() -> None:
    source = "---\ntitle: x\n---\n# Boats\n\nA *boat*.\n\n```\n# no\n```\n\nCost\n----\n\n| a |\n|---|\n| 1 |"
    document = read(source.encode(), "a.md")
    assert headings(document) == [(1, "# Boats"), (2, "Cost\n----")]
    assert "A *boat*." in document.text
    assert "| 1 |" in document.text


def test_html_is_what_is_seen() -> None:
    page = (
        b"<html><head><title>T</title><style>p {}</style><script>hidden()</script></head><body><!-- no -->"
        b"<h1>Boats &amp; <b>ships</b></h1><p>A <i>wooden</i>\n boat.<br>Red.</p><ul><li>one<li>two</ul>"
        b"<table><tr><td>a</td><td>b</td></tr></table><pre>x\n  y</pre>"
    )
    document = read(page, "a.html")
    assert document.text.split("\n\n") == [
        "T",
        "Boats & ships",
        "A wooden boat.",
        "Red.",
        "one",
        "two",
        "a | b",
        "x\n  y",
    ]
    assert headings(document) == [(1, "Boats & ships")]


def test_pdf_has_pages() -> None:
    document = read(documents.pdf("the first page", "the second"), "a.pdf")
    assert document.pages == 2
    assert [(document.text[s.start : s.end], s.page) for s in document.spans] == [
        ("the first page", 1),
        ("the second", 2),
    ]


def test_word_has_headings_and_tables() -> None:
    document = read(documents.word(), "a.docx")
    assert headings(document) == [(1, "Boats"), (2, "Cost")]
    assert "Anna has a wooden boat.\n\nCost\n\nmooring | 300\n\nIt is paid in May." in document.text


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b'{"boat": {"colour": "red"}, "n": 1}', "a.json", ['boat: {"colour": "red"}', "n: 1"]),
        (b'[{"a": 1}, "two", null]', "a.json", ['{"a": 1}', "two", "null"]),
        (b'{"a": 1}\n{"a": 2}\n', "a.jsonl", ['{"a": 1}', '{"a": 2}']),
        (b'"\\ud800x\\u0000"', "a.json", ["\ufffdx"]),
        (b"name;age\nAnn;3\nBob;;extra\n", "a.csv", ["name: Ann\nage: 3", "name: Bob\nextra"]),
        (b'name,says\nAnn,"one\ntwo"\n', "a.csv", ["name: Ann\nsays: one\ntwo"]),
        (b"a\tb\n1\t2\n", "a.tsv", ["a: 1\nb: 2"]),
        (b"only,names\n", "a.csv", ["only, names"]),
    ],
)
def test_records_and_rows_are_blocks(data: bytes, name: str, expected: list[str]) -> None:
    document = read(data, name)
    assert [document.text[span.start : span.end] for span in document.spans] == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("Früh fährt die Fähre nach Århus.".encode("latin-1"), "Fähre nach Århus"),
        ("El niño comió una manzana.".encode("latin-1"), "niño comió"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy.".encode("cp1250"), "žluťoučký kůň"),
        ("\ufeffcafé".encode(), "café"),
        ("café".encode("utf-16"), "café"),
        ("\ufeffcafé".encode("utf-32-be"), "café"),
        ("Лодка стоит у причала, и никто на ней не плавает.".encode("cp1251"), "Лодка"),
    ],
)
def test_text_of_any_encoding_is_read(data: bytes, expected: str) -> None:
    text = read(data, "a.txt").text
    assert expected in text
    assert "\ufeff" not in text


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(5):
            packed.writestr(f"word/{number}.xml", bytes(60 * 2**20))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "why"),
    [
        (b" \n\t ", "a.txt", "no text"),
        (bytes(range(256)) * 20, "a.txt", "binary"),
        (documents.pdf("x")[:-200], "a.docx", "damaged, or not a Word"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "a.docx", "encrypted, or in Word's old format"),
        (bomb(), "a.docx", "unpacks to more"),
        (documents.pdf("", ""), "a.pdf", "scanned images"),
        (documents.pdf("secret", locked_by="p"), "a.pdf", "encrypted"),
        (b"hello", "a.pdf", "not a PDF"),
        (b"%PDF-1.7\n" + b"x" * 1000, "a.pdf", "damaged"),
        (b"[" * 100_000, "a.json", "nested too deep"),
        (b"{'a': 1}", "a.json", "not JSON: look at line 1"),
        (b'{"a": 1}\n{"b"\n', "a.jsonl", "not JSON: look at line 2"),
        (b"<p>one" + b"<div>" * 5_000 + b"two", "a.html", "nested too deep"),
        (b"<!-- nothing -->", "a.html", "no text"),
    ],
)
def test_what_can_not_be_read_says_why(data: bytes, name: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(data, name)


def test_a_pdf_with_an_empty_password_is_read() -> None:
    from pypdf import PdfWriter

    writer = PdfWriter(clone_from=io.BytesIO(documents.pdf("for anybody")))
    writer.encrypt("", "owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    assert read(out.getvalue(), "a.pdf").text == "for anybody"


def test_a_file_of_one_giant_line_is_read_in_time_proportional_to_it() -> None:
    line = json.dumps(["x" * 1000] * 3000).encode()
    assert len(read(b"a,b\n" + line, "a.csv").text) > 3_000_000


def test_a_format_that_nobody_reads_is_known_as_such() -> None:
    assert not formats.known("image/png")
    assert formats.known("text/x-python")
    assert formats.media_type("Text/HTML; charset=utf-8", "a.txt") == "text/html"
    assert formats.media_type("", "A.PDF") == "application/pdf"
    assert formats.media_type("", "main.py") == "text/plain"
