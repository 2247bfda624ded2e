"""Files of each format, made in the test, and adding them."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import docx
from pypdf import PdfWriter

from servicekit.principal import Principal
from tests.support.archival import Client
from triptych.archival.v1 import archival_pb2 as pb

_CHUNK = 256 * 1024


def pdf(*pages: str, locked_by: str = "") -> bytes:
    """A PDF with these texts on its pages; an empty one has no text layer."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        lines = "".join(f"({line}) Tj T* " for line in text.splitlines())
        drawn = zlib.compress(f"BT /F1 12 Tf 14 TL 50 700 Td {lines}ET".encode("latin-1"))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (5 + 2 * number)
        )
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    whole = _assembled(objects)
    return _encrypted(whole, locked_by) if locked_by else whole


def _assembled(objects: Sequence[bytes]) -> bytes:
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + head + table + tail


def _encrypted(whole: bytes, password: str) -> bytes:
    writer = PdfWriter(clone_from=io.BytesIO(whole))
    writer.encrypt(password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word() -> bytes:
    """A docx with headings, paragraphs and a table."""
    document = docx.Document()
    document.add_heading("Boats", level=1)
    document.add_paragraph("Anna has a wooden boat.")
    document.add_heading("Cost", level=2)
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "mooring", "300"
    document.add_paragraph("It is paid in May.")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def header(archive_id: str, file_name: str, **more: Any) -> pb.DocumentHeader:
    return pb.DocumentHeader(archive_id=archive_id, file_name=file_name, create_archive_name="files", **more)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def parts(head: pb.DocumentHeader, content: bytes) -> AsyncIterator[pb.AddDocumentRequest]:
    yield pb.AddDocumentRequest(header=head)
    for at in range(0, len(content), _CHUNK):
        yield pb.AddDocumentRequest(chunk=content[at : at + _CHUNK])


async def answers(
    client: Client, caller: Principal, head: pb.DocumentHeader, content: bytes
) -> list[pb.AddDocumentResponse]:
    """Adds a file; gives everything that was answered."""
    stream = client.peer.exchange(client.stub.AddDocument, parts(head, content), caller=caller)
    return [answer async for answer in stream]


async def add(client: Client, caller: Principal, head: pb.DocumentHeader, content: bytes) -> pb.AddDocumentResponse:
    """Adds a file, to the end; gives the last answer."""
    *_, last = await answers(client, caller, head, content)
    assert last.stage == pb.ADD_DOCUMENT_STAGE_DONE
    return last


async def passages_of(client: Client, caller: Principal, **which: Any) -> list[pb.Passage]:
    request = pb.ListPassagesRequest(page_size=1000, **which)
    return list((await client.call("ListPassages", request, caller)).passages)
