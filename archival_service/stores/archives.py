"""Archives: what passages are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, insert, or_, select, update

from archival_service.store import Purged
from archival_service.stores import listing, outbox, replacing, requests
from archival_service.stores.outbox import Change
from archival_service.stores.rows import in_parts, not_changed_here, now, owned, owner, readable, timestamp
from archival_service.stores.tables import archives, documents, inserts, passages
from servicekit import ids
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.archival.v1.archival_pb2 import Archive, ListArchivesRequest
from triptych.errors import AlreadyExists, NotFound

_OWNERS = Prepared(
    select(archives.c.user_id).where(
        archives.c.account_id == bindparam("account_id"),
        or_(archives.c.user_id == bindparam("user_id"), archives.c.user_id == bindparam("account_itself")),
        archives.c.id == bindparam("id"),
    )
)


def create(connection: Connection, tenant: Tenant, wanted: Archive, request_id: str) -> Archive:
    """As `ArchivalStore.create_archive`."""
    content = requests.digest(b"create", _content(wanted))
    known = requests.answered(connection, tenant, request_id, content)
    if known is not None:
        return get(connection, tenant, known)
    archive_id = wanted.id or ids.new("archive")
    if exists(connection, tenant, archive_id):
        raise AlreadyExists(f"there is an archive {archive_id} already")
    at = now()
    connection.execute(
        insert(archives).values(
            **owner(tenant),
            id=archive_id,
            name=wanted.name or archive_id,
            description=wanted.description,
            metadata=MessageToDict(wanted.metadata),
            created_at=at,
            updated_at=at,
        )
    )
    requests.note(connection, tenant, request_id, content, archive_id)
    return get(connection, tenant, archive_id)


def exists(connection: Connection, tenant: Tenant, archive_id: str) -> bool:
    """Whether the owner has it. Raises: PermissionDenied if its account has: it is not made anew behind that."""
    asked = {**owner(tenant), "account_itself": tenant.account.user_id, "id": archive_id}
    owners = [row.user_id for row in _OWNERS.all(connection, asked)]
    if owners and tenant.user_id not in owners:
        raise not_changed_here("archive")
    return bool(owners)


def get(connection: Connection, tenant: Tenant, archive_id: str) -> Archive:
    """The owner's or its account's. Raises: NotFound."""
    query = select(archives).where(readable(archives, tenant), archives.c.id == archive_id)
    rows = connection.execute(query).all()
    if not rows:
        raise NotFound("archive", archive_id)
    return _to_archive(next((row for row in rows if row.user_id == tenant.user_id), rows[0]))


def shared_among(connection: Connection, tenant: Tenant, archive_ids: Sequence[str]) -> list[str]:
    """Those that are the account's, and not the owner's own."""
    if tenant.is_account or not archive_ids:
        return []
    query = select(archives.c.id, archives.c.user_id).where(readable(archives, tenant), archives.c.id.in_(archive_ids))
    owners = [(row.id, row.user_id == tenant.user_id) for row in connection.execute(query)]
    own = {archive_id for archive_id, mine in owners if mine}
    return [archive_id for archive_id, mine in owners if not mine and archive_id not in own]


def _check_own(connection: Connection, tenant: Tenant, archive_id: str) -> None:
    """Raises: NotFound, PermissionDenied."""
    if not exists(connection, tenant, archive_id):
        raise NotFound("archive", archive_id)


def list_page(
    connection: Connection, tenant: Tenant, request: ListArchivesRequest, page: Page
) -> tuple[list[Archive], str]:
    """As `ArchivalStore.list_archives`."""
    where = [archives.c.name == request.name] if request.name else []
    window = listing.Window(page, request.after_id, request.before_id)
    key = (archives.c.created_at, archives.c.id)
    return listing.fetch(connection, tenant, archives, key, where, window, _to_archive)


def change(connection: Connection, tenant: Tenant, wanted: Archive, paths: Sequence[str], request_id: str) -> Archive:
    """As `ArchivalStore.update_archive`."""
    content = requests.digest(b"update", wanted.id.encode(), _content(wanted), *(path.encode() for path in paths))
    known = requests.answered(connection, tenant, request_id, content)
    if known is not None:
        return get(connection, tenant, known)
    _check_own(connection, tenant, wanted.id)
    values: dict[str, Any] = {"updated_at": now()}
    for path in paths:
        values[path] = MessageToDict(wanted.metadata) if path == "metadata" else getattr(wanted, path)
    connection.execute(update(archives).where(owned(archives, tenant), archives.c.id == wanted.id).values(**values))
    requests.note(connection, tenant, request_id, content, wanted.id)
    return get(connection, tenant, wanted.id)


def remove(connection: Connection, tenant: Tenant, archive_id: str, request_id: str) -> list[Change]:
    """As `ArchivalStore.delete_archive`; gives what the index has to forget."""
    content = requests.digest(b"delete archive", archive_id.encode())
    if requests.answered(connection, tenant, request_id, content) is not None:
        return []
    _check_own(connection, tenant, archive_id)
    changes = _remove(connection, tenant, [archive_id])
    requests.note(connection, tenant, request_id, content, "")
    return changes


def purge(
    connection: Connection, tenant: Tenant, archive_ids: Sequence[str] | None, request_id: str
) -> tuple[Purged, list[Change]]:
    """As `ArchivalStore.purge`; gives what the index has to forget too."""
    named = [b"all"] if archive_ids is None else [b"some", *(each.encode() for each in archive_ids)]
    content = requests.digest(b"purge", *named)
    known = requests.answered(connection, tenant, request_id, content)
    if known is not None:
        of_archives, of_passages = map(int, known.split())
        return Purged(of_archives, of_passages), []
    before = _count(connection, tenant)
    changes: list[Change] = []
    for part in [None] if archive_ids is None else in_parts(archive_ids):
        changes.extend(_remove(connection, tenant, part))
    purged = Purged(before - _count(connection, tenant), len(changes))
    requests.note(connection, tenant, request_id, content, f"{purged.archives} {purged.passages}")
    return purged, changes


def _remove(connection: Connection, tenant: Tenant, archive_ids: Sequence[str] | None) -> list[Change]:
    """Deletes the archives (None: all) with all that is in them."""

    def those(table: Any, column: Any) -> ColumnElement[bool]:
        mine = owned(table, tenant)
        return mine if archive_ids is None else and_(mine, column.in_(archive_ids))

    changes = outbox.add(connection, those(passages, passages.c.archive_id))
    connection.execute(delete(passages).where(those(passages, passages.c.archive_id)))
    connection.execute(delete(inserts).where(those(inserts, inserts.c.archive_id)))
    connection.execute(delete(documents).where(those(documents, documents.c.archive_id)))
    connection.execute(delete(archives).where(those(archives, archives.c.id)))
    replacing.tidy(connection, tenant)
    return changes


def _count(connection: Connection, tenant: Tenant) -> int:
    return connection.execute(select(func.count()).select_from(archives).where(owned(archives, tenant))).scalar_one()


def _content(wanted: Archive) -> bytes:
    written = Archive(id=wanted.id, name=wanted.name, description=wanted.description, metadata=wanted.metadata)
    return written.SerializeToString(deterministic=True)


def _to_archive(row: Row[Any]) -> Archive:
    archive = Archive(
        id=row.id,
        name=row.name,
        description=row.description,
        create_time=timestamp(row.created_at),
        update_time=timestamp(row.updated_at),
        shared=Tenant(row.account_id, row.user_id).is_account,
    )
    metadata = row._mapping["metadata"]
    if metadata:
        archive.metadata.CopyFrom(ParseDict(metadata, Struct()))
    return archive
