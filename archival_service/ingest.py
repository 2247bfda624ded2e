"""Takes documents in: receives the bytes, has them read, and stores the passages batch by batch.

A document's id derives from its archive and content, its passages' from that and their number, and each batch is
inserted under a request id of its own. So whatever cut an earlier attempt off, the same file sent again goes on where
that one stopped, and doubles nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import IO

from archival_service import checks
from archival_service.chunking import Chunk
from archival_service.readers import formats
from archival_service.reading import Reader, Reading
from archival_service.store import ArchivalStore, Begun
from archival_service.stores.documents import batch_request_id
from archival_service.stores.rows import not_changed_here
from servicekit import ids
from servicekit.principal import Tenant
from triptych.archival.v1 import archival_pb2 as pb
from triptych.errors import InvalidArgument, NotFound, ResourceExhausted, TriptychError

# Passages to a batch: what is embedded and committed at once, and the step of the progress.
_BATCH = 64
# Of one owner: each has a temporary file and waits for a reader.
_AT_ONCE = 4
# A client that has sent nothing for so long waits for the answer.
_SILENCE_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
_MAX_CHUNK = 1024 * 1024
_REPORT_BYTES = 1024 * 1024

_Requests = AsyncIterator[pb.AddDocumentRequest]
_Responses = AsyncIterator[pb.AddDocumentResponse]


class Ingest:
    def __init__(self, store: ArchivalStore, reader: Reader) -> None:
        self._store, self._reader = store, reader
        self._under_way: Counter[Tenant] = Counter()

    async def add(self, tenant: Tenant, requests: _Requests) -> _Responses:
        """Progress, and at last the document.

        Raises: InvalidArgument for a file that can't be taken in, ResourceExhausted for one that is too large or if the
        owner adds many at once, NotFound (archive), FailedPrecondition FENCED if the same document is added by another
        call at the same time; Unavailable.
        """
        try:
            with self._counted(tenant):
                async for response in self._add(tenant, requests):
                    yield response
        except TriptychError:
            await _hear_out(requests)
            raise
        await _hear_out(requests)

    @contextmanager
    def _counted(self, tenant: Tenant) -> Iterator[None]:
        if self._under_way[tenant] == _AT_ONCE:
            raise ResourceExhausted(f"{_AT_ONCE} documents are being added already: wait for one of them")
        self._under_way[tenant] += 1
        try:
            yield
        finally:
            self._under_way -= Counter({tenant: 1})  # keeps no zeros

    async def _add(self, tenant: Tenant, requests: _Requests) -> _Responses:
        header = await self._header(tenant, requests)
        if header.content_sha256 and (known := await self._known(tenant, header, header.content_sha256)):
            yield _existing(known)
            return
        with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as result:
            upload = _Upload(header, file, self._reader.limits.document_bytes)
            async for received in upload.receive(requests):
                yield received
            if known := await self._known(tenant, header, upload.sha256):
                yield _existing(known)
                return
            yield pb.AddDocumentResponse(stage=pb.ADD_DOCUMENT_STAGE_READING)
            reading = await self._reader.read(file, _media_type(header), result)
            document = _document(tenant, header, upload, reading)
            async for stored in self._keep(tenant, header, document, reading):
                yield stored

    async def _header(self, tenant: Tenant, requests: _Requests) -> pb.DocumentHeader:
        first = await anext(requests, None)
        if first is None or not first.HasField("header"):
            raise InvalidArgument.of("header", "must come first")
        header = first.header
        checks.document(header)
        if not formats.known(_media_type(header)):
            raise InvalidArgument.of("header.media_type", "is none that can be read here")
        if header.size_bytes > self._reader.limits.document_bytes:
            raise _too_large(self._reader.limits.document_bytes)
        if not header.create_archive_name:
            archive = await self._store.get_archive(tenant, header.archive_id)
            if archive.shared and not tenant.is_account:  # refused before the bytes come; the store would do it after
                raise not_changed_here("archive")
        return header

    async def _known(self, tenant: Tenant, header: pb.DocumentHeader, sha256: str) -> pb.Document | None:
        """The document, if the archive has all of it."""
        try:
            found = await self._store.get_document(tenant, _id(tenant, header, sha256))
        except NotFound:
            return None
        return found if found.state == pb.DOCUMENT_STATE_COMPLETE else None

    async def _keep(
        self, tenant: Tenant, header: pb.DocumentHeader, document: pb.Document, reading: Reading
    ) -> _Responses:
        fingerprint = _fingerprint(document, reading)
        begun = await self._store.begin_document(
            tenant, document, fingerprint, header.create_archive_name, header.request_id
        )
        if begun.document.state == pb.DOCUMENT_STATE_COMPLETE:
            yield _existing(begun.document)
            return
        stage, total = pb.ADD_DOCUMENT_STAGE_STORING, reading.chunk_count
        yield pb.AddDocumentResponse(stage=stage, total=total)
        done = 0
        for request in _batches(begun, reading):
            await self._store.insert(tenant, request)
            done += len(request.passages)
            yield pb.AddDocumentResponse(stage=stage, done=done, total=total)
        finished, replaced = await self._store.finish_document(tenant, begun, header.request_id)
        yield pb.AddDocumentResponse(
            stage=pb.ADD_DOCUMENT_STAGE_DONE, done=done, total=total, document=finished, replaced_document_ids=replaced
        )


async def _hear_out(requests: _Requests) -> None:
    """Takes what the client still sends, for a while, when the answer is known before the file has come.

    A call that ends while grpc.aio's client writes ends there as INTERNAL, whatever its status is.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + _PATIENCE_SECONDS
    while loop.time() < ends:
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                await anext(requests)
        except (StopAsyncIteration, TimeoutError, InvalidArgument):
            return


class _Upload:
    """The bytes of one file, on their way into a temporary one. Afterwards `size` and `sha256` are known."""

    def __init__(self, header: pb.DocumentHeader, file: IO[bytes], most_bytes: int) -> None:
        self._header, self._file, self._most_bytes = header, file, most_bytes
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def receive(self, requests: _Requests) -> _Responses:
        """Raises: InvalidArgument, ResourceExhausted."""
        reported = 0
        yield self._progress()
        async for request in requests:
            if not request.HasField("chunk") or len(request.chunk) > _MAX_CHUNK:
                raise InvalidArgument.of("chunk", f"must be at most {_MAX_CHUNK:,} bytes of the file")
            self.size += len(request.chunk)
            if self.size > self._most_bytes:
                raise _too_large(self._most_bytes)
            await asyncio.to_thread(self._take, request.chunk)
            if self.size - reported >= _REPORT_BYTES:
                reported = self.size
                yield self._progress()
        if not self.size:
            raise InvalidArgument.of("file", "it is empty")
        if self._header.content_sha256 not in ("", self.sha256):
            raise InvalidArgument.of("header.content_sha256", "is not of the bytes that came")

    def _take(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._file.write(chunk)

    def _progress(self) -> pb.AddDocumentResponse:
        return pb.AddDocumentResponse(
            stage=pb.ADD_DOCUMENT_STAGE_RECEIVING, done=self.size, total=self._header.size_bytes
        )


def _batches(begun: Begun, reading: Reading) -> Iterator[pb.InsertPassagesRequest]:
    chunks = enumerate(reading.chunks())
    for number in itertools.count():
        batch = list(itertools.islice(chunks, _BATCH))
        if not batch:
            return
        yield pb.InsertPassagesRequest(
            archive_id=begun.document.archive_id,
            request_id=batch_request_id(begun.document.id, number),
            fence=begun.fence,
            passages=[_passage(begun.document, position, chunk) for position, chunk in batch],
        )


def _passage(document: pb.Document, position: int, chunk: Chunk) -> pb.Passage:
    return pb.Passage(
        id=ids.derived("passage", document.id, position),
        text=chunk.text,
        tags=document.tags,
        metadata=document.metadata,
        source=pb.Source(
            document_id=document.id,
            file_name=document.file_name,
            page=chunk.page,
            start=chunk.start,
            end=chunk.end,
            headings=chunk.headings,
        ),
    )


def _document(tenant: Tenant, header: pb.DocumentHeader, upload: _Upload, reading: Reading) -> pb.Document:
    return pb.Document(
        id=_id(tenant, header, upload.sha256),
        archive_id=header.archive_id,
        file_name=header.file_name,
        media_type=_media_type(header),
        content_sha256=upload.sha256,
        size_bytes=upload.size,
        tags=header.tags,
        metadata=header.metadata,
        passage_count=reading.chunk_count,
        characters=reading.characters,
        pages=reading.pages,
    )


def _fingerprint(document: pb.Document, reading: Reading) -> str:
    """Of all that its passages are made from, so that no half of one attempt is joined to the half of another."""
    made_from = document.SerializeToString(deterministic=True)
    return hashlib.sha256(made_from + reading.digest.encode()).hexdigest()


def _id(tenant: Tenant, header: pb.DocumentHeader, sha256: str) -> str:
    return ids.derived("document", *tenant, header.archive_id, sha256)


def _media_type(header: pb.DocumentHeader) -> str:
    return formats.media_type(header.media_type, header.file_name)


def _existing(document: pb.Document) -> pb.AddDocumentResponse:
    return pb.AddDocumentResponse(stage=pb.ADD_DOCUMENT_STAGE_DONE, document=document, existing=True)


def _too_large(most_bytes: int) -> ResourceExhausted:
    return ResourceExhausted(
        f"the file is larger than {most_bytes // 2**20} MiB: split it, or let TRIPTYCH_DOCUMENT_MAX_MB be more"
    )
