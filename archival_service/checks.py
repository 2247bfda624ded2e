"""What requests may hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from archival_service.store import Filters
from archival_service.stores.rows import microseconds
from servicekit import ids, structs, times
from triptych.archival.v1 import archival_pb2 as pb
from triptych.errors import InvalidArgument
from triptych.type.v1 import type_pb2

MAX_REQUEST_ID = 200
MAX_BATCH = 1_000
MAX_TEXT_BYTES = 1024 * 1024
MAX_TAGS = 64
MAX_TAG = 200
MAX_NAME = 500
MAX_DESCRIPTION = 10_000
MAX_QUERY = 10_000
MAX_CONTAINS = 1_000
MAX_LIMIT = 100
MAX_ARCHIVES = 100
MAX_FILE_NAME = 1_000
MAX_MEDIA_TYPE = 200
MAX_HEADINGS = 100
MAX_HEADING = 1_000
MAX_SOURCES = 100
DEFAULT_LIMIT = 10
UPDATABLE = ("name", "description", "metadata")
_SHA256 = re.compile("[0-9a-f]{64}")


def request_id(value: str, *, needed: bool = False) -> None:
    """Raises: InvalidArgument, as all of these."""
    if needed and not value:
        raise InvalidArgument.of("request_id", "must be given")
    _characters("request_id", value, MAX_REQUEST_ID)


def archive(wanted: pb.Archive) -> None:
    """A new archive's fields, or the new values of one."""
    _id("archive", "archive.id", wanted.id)
    _characters("archive.name", wanted.name, MAX_NAME)
    _characters("archive.description", wanted.description, MAX_DESCRIPTION)
    structs.check("archive.metadata", wanted.metadata)


def update_paths(request: pb.UpdateArchiveRequest) -> list[str]:
    """What an update changes: what its mask names; without a mask, the fields that are there (AIP-134)."""
    paths = list(dict.fromkeys(request.update_mask.paths)) or [
        field.name for field, _ in request.archive.ListFields() if field.name in UPDATABLE
    ]
    for path in paths:
        if path not in UPDATABLE:
            raise InvalidArgument.of("update_mask", f"can name {', '.join(UPDATABLE)}")
    if "name" in paths and not request.archive.name:
        raise InvalidArgument.of("archive.name", "must not be empty")
    return paths


def insert(request: pb.InsertPassagesRequest) -> None:
    if not request.archive_id:
        raise InvalidArgument.of("archive_id", "must be given")
    request_id(request.request_id, needed=True)
    _characters("create_archive_name", request.create_archive_name, MAX_NAME)
    if request.create_archive_name:
        _id("archive", "archive_id", request.archive_id)
    _fence(request.fence)
    if not 1 <= len(request.passages) <= MAX_BATCH:
        raise InvalidArgument.of("passages", f"must be 1 to {MAX_BATCH:,}")
    if request.vectors and len(request.vectors) != len(request.passages):
        raise InvalidArgument.of("vectors", "must be one a passage, or none")
    seen: set[str] = set()
    for position, passage in enumerate(request.passages):
        field = f"passages[{position}]"
        _passage(field, passage)
        if passage.id and passage.id in seen:
            raise InvalidArgument.of(f"{field}.id", "is given twice")
        seen.add(passage.id)


def _passage(field: str, passage: pb.Passage) -> None:
    _id("passage", f"{field}.id", passage.id)
    if not passage.text.strip():
        raise InvalidArgument.of(f"{field}.text", "must not be empty")
    if len(passage.text.encode()) > MAX_TEXT_BYTES:
        raise InvalidArgument.of(f"{field}.text", f"must be at most {MAX_TEXT_BYTES:,} bytes")
    _no_nul(f"{field}.text", passage.text)
    _tags(f"{field}.tags", passage.tags)
    structs.check(f"{field}.metadata", passage.metadata)
    if passage.HasField("create_time"):
        _time(f"{field}.create_time", passage.create_time)
    source(f"{field}.source", passage.source)


def source(field: str, given: pb.Source) -> None:
    """Where a passage comes from, in an insert: what `AddDocument` made and an export has kept."""
    _id("document", f"{field}.document_id", given.document_id)
    _characters(f"{field}.file_name", given.file_name, MAX_FILE_NAME)
    if given.page < 0 or not 0 <= given.start <= given.end:
        raise InvalidArgument.of(field, "must have a page of zero or more, and an end that is not before its start")
    if len(given.headings) > MAX_HEADINGS:
        raise InvalidArgument.of(f"{field}.headings", f"must be at most {MAX_HEADINGS}")
    for heading in given.headings:
        _characters(f"{field}.headings", heading, MAX_HEADING)


def document(header: pb.DocumentHeader) -> None:
    """The header of a file that is added."""
    _id("archive", "header.archive_id", header.archive_id)
    if not header.archive_id:
        raise InvalidArgument.of("header.archive_id", "must be given")
    _characters("header.create_archive_name", header.create_archive_name, MAX_NAME)
    if not header.file_name.strip():
        raise InvalidArgument.of("header.file_name", "must be given")
    _characters("header.file_name", header.file_name, MAX_FILE_NAME)
    _characters("header.media_type", header.media_type, MAX_MEDIA_TYPE)
    _tags("header.tags", header.tags)
    structs.check("header.metadata", header.metadata)
    if header.content_sha256 and not _SHA256.fullmatch(header.content_sha256):
        raise InvalidArgument.of("header.content_sha256", "must be 64 lower-case hex digits")
    if header.size_bytes < 0:
        raise InvalidArgument.of("header.size_bytes", "must not be negative")
    request_id(header.request_id)


def restored(wanted: pb.Document) -> None:
    """A document as an export has it."""
    if not wanted.id:
        raise InvalidArgument.of("document.id", "must be given")
    _id("document", "document.id", wanted.id)
    _id("archive", "document.archive_id", wanted.archive_id)
    if not wanted.file_name.strip():
        raise InvalidArgument.of("document.file_name", "must be given")
    _characters("document.file_name", wanted.file_name, MAX_FILE_NAME)
    _characters("document.media_type", wanted.media_type, MAX_MEDIA_TYPE)
    _tags("document.tags", wanted.tags)
    structs.check("document.metadata", wanted.metadata)
    if not _SHA256.fullmatch(wanted.content_sha256):
        raise InvalidArgument.of("document.content_sha256", "must be 64 lower-case hex digits")
    if min(wanted.size_bytes, wanted.characters, wanted.pages) < 0:
        raise InvalidArgument.of("document", "must have figures that are not negative")
    for name in ("create_time", "update_time"):
        if wanted.HasField(name):
            _time(f"document.{name}", getattr(wanted, name))


def list_documents(request: pb.ListDocumentsRequest) -> None:
    archive_ids(request.archive_ids)
    _characters("file_name", request.file_name, MAX_FILE_NAME)


def sources(document_ids: Sequence[str], file_names: Sequence[str]) -> None:
    """Of which documents and files something is wanted."""
    for field, values in (("document_ids", document_ids), ("file_names", file_names)):
        if len(values) > MAX_SOURCES:
            raise InvalidArgument.of(field, f"must be at most {MAX_SOURCES}")
        for value in values:
            _characters(field, value, MAX_FILE_NAME)


def search(request: pb.SearchPassagesRequest) -> Filters:
    """Checks the whole request, and gives what of it filters."""
    _characters("query", request.query, MAX_QUERY)
    if not 0 <= request.limit <= MAX_LIMIT:
        raise InvalidArgument.of("limit", f"must be 1 to {MAX_LIMIT}, or 0 for {DEFAULT_LIMIT}")
    if request.mode not in type_pb2.SearchMode.values():
        raise InvalidArgument.of("mode", "is not a SearchMode")
    if request.tag_match not in type_pb2.TagMatch.values():
        raise InvalidArgument.of("tag_match", "is not a TagMatch")
    archive_ids(request.archive_ids)
    sources(request.document_ids, request.file_names)
    _tags("tags", request.tags)
    start = _time("start_time", request.start_time) if request.HasField("start_time") else None
    end = _time("end_time", request.end_time) if request.HasField("end_time") else None
    if start is not None and end is not None and start > end:
        raise InvalidArgument.of("start_time", "must not be after end_time")
    return Filters(
        archive_ids=tuple(request.archive_ids),
        tags=tuple(request.tags),
        all_tags=request.tag_match == type_pb2.TAG_MATCH_ALL,
        start=start,
        end=end,
        document_ids=tuple(request.document_ids),
        file_names=tuple(request.file_names),
    )


def list_passages(request: pb.ListPassagesRequest) -> None:
    archive_ids(request.archive_ids)
    sources(request.document_ids, request.file_names)
    _characters("contains", request.contains, MAX_CONTAINS)


def archive_ids(values: Sequence[str]) -> None:
    if len(values) > MAX_ARCHIVES:
        raise InvalidArgument.of("archive_ids", f"must be at most {MAX_ARCHIVES}")


def _id(kind: str, field: str, value: str) -> None:
    if value and not ids.valid(kind, value):
        raise InvalidArgument.of(field, f"must be {kind}-<uuid> in lower case")


def _characters(field: str, value: str, most: int) -> None:
    if len(value) > most:
        raise InvalidArgument.of(field, f"must be at most {most:,} characters")
    _no_nul(field, value)


def _no_nul(field: str, value: str) -> None:
    """PostgreSQL can't keep it, so no store here does."""
    if "\0" in value:
        raise InvalidArgument.of(field, "must not hold a NUL character")


def _tags(field: str, tags: Sequence[str]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidArgument.of(field, f"must be at most {MAX_TAGS}")
    for tag in tags:
        if not 1 <= len(tag) <= MAX_TAG:
            raise InvalidArgument.of(field, f"must be of 1 to {MAX_TAG} characters each")
        _no_nul(field, tag)


def _fence(fence: type_pb2.Fence) -> None:
    _characters("fence.scope", fence.scope, MAX_REQUEST_ID)
    if fence.token < 0:
        raise InvalidArgument.of("fence.token", "must not be negative")
    if fence.token and not fence.scope:
        raise InvalidArgument.of("fence.scope", "must be given with a token")


def _time(field: str, value: Timestamp) -> int:
    """Microseconds since 1970."""
    times.check(field, value)
    return microseconds(value)
