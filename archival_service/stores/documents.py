"""Documents: files that were cut into passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from archival_service.store import Begun
from archival_service.stores import archives, inserting, listing, outbox, replacing, requests
from archival_service.stores.outbox import Change
from archival_service.stores.rows import microseconds, not_changed_here, now, owned, owner, timestamp
from archival_service.stores.tables import documents, inserts, passages
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.archival.v1.archival_pb2 import (
    DOCUMENT_STATE_COMPLETE,
    DOCUMENT_STATE_INCOMPLETE,
    Archive,
    Document,
    ListDocumentsRequest,
)
from triptych.errors import NotFound


def batch_request_id(document_id: str, number: int) -> str:
    """Under which a document's passages are inserted: `_forget` finds them again by it."""
    return f"{document_id}/{number}"


def begin(
    connection: Connection,
    tenant: Tenant,
    wanted: Document,
    fingerprint: str,
    create_archive_name: str,
    request_id: str,
) -> tuple[Begun, list[Change]]:
    """As `ArchivalStore.begin_document`; gives what the index has to forget too."""
    requests.answered(connection, tenant, request_id, _content(wanted))
    if not archives.exists(connection, tenant, wanted.archive_id):
        if not create_archive_name:
            raise NotFound("archive", wanted.archive_id)
        archives.create(connection, tenant, Archive(id=wanted.archive_id, name=create_archive_name), "")
    fence = inserting.next_fence(connection, tenant, wanted.id)
    known = _row(connection, tenant, wanted.id)
    changes: list[Change] = []
    if known is None or not (known.complete or known.fingerprint == fingerprint):
        changes = _forget(connection, tenant, wanted.id)
        connection.execute(insert(documents).values(**owner(tenant), **_columns(wanted), fingerprint=fingerprint))
    return Begun(get(connection, tenant, wanted.id), fence), changes


def finish(
    connection: Connection, tenant: Tenant, begun: Begun, request_id: str
) -> tuple[Document, list[str], list[Change]]:
    """As `ArchivalStore.finish_document`; gives what the index has to forget too."""
    document = begun.document
    inserting.check_fence(connection, tenant, begun.fence)
    this = owned(documents, tenant) & (documents.c.id == document.id)
    connection.execute(update(documents).where(this).values(complete=True, updated_at=now()))
    namesakes = select(documents.c.id).where(
        owned(documents, tenant),
        documents.c.archive_id == document.archive_id,
        documents.c.file_name == document.file_name,
        documents.c.id != document.id,
    )
    replaced = list(connection.execute(namesakes).scalars())
    changes: list[Change] = []
    for document_id in replaced:
        inserting.next_fence(connection, tenant, document_id)
        changes.extend(_forget(connection, tenant, document_id))
    if requests.answered(connection, tenant, request_id, _content(document)) is None:
        requests.note(connection, tenant, request_id, _content(document), document.id)
    return get(connection, tenant, document.id), replaced, changes


def restore(connection: Connection, tenant: Tenant, wanted: Document) -> Document:
    """As `ArchivalStore.restore_document`."""
    if _row(connection, tenant, wanted.id) is None:
        mine = owned(passages, tenant) & (passages.c.document_id == wanted.id)
        here = mine & (passages.c.archive_id == wanted.archive_id)
        count = connection.execute(select(func.count()).select_from(passages).where(here)).scalar_one()
        if not count:
            if _row(connection, tenant.account, wanted.id) is not None:
                raise not_changed_here("document")
            raise NotFound("document", wanted.id)
        columns = {**_columns(wanted), "complete": True, "passage_count": count}
        for name, given in (("created_at", wanted.create_time), ("updated_at", wanted.update_time)):
            columns[name] = microseconds(given) or columns[name]
        connection.execute(insert(documents).values(**owner(tenant), **columns, fingerprint=""))
    return get(connection, tenant, wanted.id)


def get(connection: Connection, tenant: Tenant, document_id: str) -> Document:
    """The owner's or its account's. Raises: NotFound."""
    row = _row(connection, tenant, document_id) or _row(connection, tenant.account, document_id)
    if row is None:
        raise NotFound("document", document_id)
    return _to_document(row)


def list_page(
    connection: Connection, tenant: Tenant, request: ListDocumentsRequest, page: Page
) -> tuple[list[Document], str]:
    """As `ArchivalStore.list_documents`."""
    where: list[ColumnElement[bool]] = []
    if request.archive_ids:
        where.append(documents.c.archive_id.in_(request.archive_ids))
    if request.file_name:
        where.append(documents.c.file_name == request.file_name)
    key = (documents.c.created_at, documents.c.id)
    window = listing.Window(page, "", "")
    shared = bool(request.archive_ids)
    return listing.fetch(connection, tenant, documents, key, where, window, _to_document, shared=shared)


def remove(connection: Connection, tenant: Tenant, document_id: str, request_id: str) -> list[Change]:
    """As `ArchivalStore.delete_document`; gives what the index has to forget. One that is being added is cut off."""
    content = requests.digest(b"delete document", document_id.encode())
    if requests.answered(connection, tenant, request_id, content) is not None:
        return []
    known = _row(connection, tenant, document_id)
    changes = _forget(connection, tenant, document_id)
    if known is None and not changes:
        if _row(connection, tenant.account, document_id) is not None:
            raise not_changed_here("document")
        raise NotFound("document", document_id)
    inserting.next_fence(connection, tenant, document_id)
    requests.note(connection, tenant, request_id, content, "")
    return changes


def _row(connection: Connection, tenant: Tenant, document_id: str) -> Row[Any] | None:
    this = owned(documents, tenant) & (documents.c.id == document_id)
    return connection.execute(select(documents).where(this)).one_or_none()


def _forget(connection: Connection, tenant: Tenant, document_id: str) -> list[Change]:
    """Deletes the document's row, its passages, and what was noted of their insertion: it could be added again."""
    mine = owned(passages, tenant) & (passages.c.document_id == document_id)
    changes = outbox.add(connection, mine)
    connection.execute(delete(passages).where(mine))
    replacing.tidy(connection, tenant)
    batches = inserts.c.request_id.startswith(batch_request_id(document_id, 0)[:-1], autoescape=True)
    connection.execute(delete(inserts).where(owned(inserts, tenant), batches))
    connection.execute(delete(documents).where(owned(documents, tenant), documents.c.id == document_id))
    return changes


def _content(wanted: Document) -> str:
    return requests.digest(b"add document", wanted.id.encode(), wanted.file_name.encode())


def _columns(document: Document) -> dict[str, Any]:
    at = now()
    return {
        "id": document.id,
        "archive_id": document.archive_id,
        "file_name": document.file_name,
        "media_type": document.media_type,
        "sha256": document.content_sha256,
        "size_bytes": document.size_bytes,
        "tags": list(dict.fromkeys(document.tags)),
        "metadata": MessageToDict(document.metadata),
        "complete": False,
        "passage_count": document.passage_count,
        "characters": document.characters,
        "pages": document.pages,
        "created_at": at,
        "updated_at": at,
    }


def _to_document(row: Row[Any]) -> Document:
    tags: Sequence[str] = row.tags
    document = Document(
        id=row.id,
        archive_id=row.archive_id,
        file_name=row.file_name,
        media_type=row.media_type,
        content_sha256=row.sha256,
        size_bytes=row.size_bytes,
        tags=tags,
        state=DOCUMENT_STATE_COMPLETE if row.complete else DOCUMENT_STATE_INCOMPLETE,
        passage_count=row.passage_count,
        characters=row.characters,
        pages=row.pages,
        create_time=timestamp(row.created_at),
        update_time=timestamp(row.updated_at),
    )
    metadata = row._mapping["metadata"]
    if metadata:
        document.metadata.CopyFrom(ParseDict(metadata, Struct()))
    return document
