# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Files in archival memory."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Callable, Sequence
from pathlib import Path

from triptych.archival.v1 import archival_pb2 as pb
from triptych.errors import Unavailable
from triptych.sdk.sync.transport import Transport

_SERVICE = "/triptych.archival.v1.ArchivalService/"
_CHUNK = 256 * 1024


class Documents:
    """`client.documents`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(
        self,
        path: str | Path,
        archive_id: str,
        *,
        file_name: str = "",
        media_type: str = "",
        tags: Sequence[str] = (),
        create_archive_name: str = "",
        progress: Callable[[pb.AddDocumentResponse], None] | None = None,
    ) -> pb.AddDocumentResponse:
        """Takes a file in; gives the last answer, with `document` and whether it was `existing`.

        `file_name`: what it is called there; default: the name without its directories. Content that the archive has
        already adds nothing; new content of a name takes the old one's place; after an error call it again, and it goes
        on where it stopped. `progress` is called with each answer as it comes.

        Raises: InvalidArgument for a file that can't be read, ResourceExhausted for one that is too large, NotFound
        (archive, unless it has a name to be made with), Unavailable; OSError.

            added = client.documents.add("handbook.pdf", archive.id)
            print(added.document.passage_count)
        """
        path = Path(path)
        header = pb.DocumentHeader(
            archive_id=archive_id,
            create_archive_name=create_archive_name,
            file_name=file_name or path.name,
            media_type=media_type,
            tags=tags,
            content_sha256=_sha256(path),
            size_bytes=path.stat().st_size,
            request_id=str(uuid.uuid4()),
        )
        responses = self._transport.exchange(_SERVICE + "AddDocument", _parts(path, header), pb.AddDocumentResponse)
        for response in responses:
            if progress is not None:
                progress(response)
            if response.stage == pb.ADD_DOCUMENT_STAGE_DONE:
                return response
        raise Unavailable("the stream ended before the document was added: add it again")

    def get(self, document_id: str) -> pb.Document:
        """Raises: NotFound."""
        request = pb.GetDocumentRequest(document_id=document_id)
        return (self._transport.unary(_SERVICE + "GetDocument", request, pb.GetDocumentResponse)).document

    def list(self, archive_ids: Sequence[str] = (), *, file_name: str = "") -> Iterator[pb.Document]:
        """Of these archives (none given: of all), oldest first."""
        request = pb.ListDocumentsRequest(archive_ids=archive_ids, file_name=file_name, page_size=200)
        while True:
            page = self._transport.unary(_SERVICE + "ListDocuments", request, pb.ListDocumentsResponse)
            for document in page.documents:
                yield document
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def restore(self, document: pb.Document) -> pb.Document:
        """Lists a document whose passages were inserted by themselves, as it was listed where they come from.

        Raises: NotFound if none of its passages is there.
        """
        request = pb.RestoreDocumentRequest(document=document)
        answer = self._transport.unary(_SERVICE + "RestoreDocument", request, pb.RestoreDocumentResponse)
        return answer.document

    def delete(self, document_id: str) -> None:
        """Deletes it with its passages. Raises: NotFound."""
        request = pb.DeleteDocumentRequest(document_id=document_id, request_id=str(uuid.uuid4()))
        self._transport.unary(_SERVICE + "DeleteDocument", request, pb.DeleteDocumentResponse)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parts(path: Path, header: pb.DocumentHeader) -> Iterator[pb.AddDocumentRequest]:
    yield pb.AddDocumentRequest(header=header)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield pb.AddDocumentRequest(chunk=chunk)
