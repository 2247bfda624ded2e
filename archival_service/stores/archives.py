"""Archives: what passages are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import Connection, and_, delete, insert, select, tuple_, update

from archival_service.stores.rows import now, owned, owner, timestamp
from archival_service.stores.tables import archives, inserts, outbox, passages
from servicekit import ids
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.archival.v1.archival_pb2 import Archive, ListArchivesRequest
from triptych.errors import AlreadyExists, InvalidArgument, NotFound

UPDATABLE = frozenset({"name", "description", "metadata"})


def create(connection: Connection, tenant: Tenant, wanted: Archive, request_id: str) -> Archive:
    """A replay of the `request_id` gives the archive as it is. Raises: AlreadyExists for a chosen id that is taken."""
    archive_id = wanted.id or (ids.derived("archive", *tenant, request_id) if request_id else ids.new("archive"))
    if exists(connection, tenant, archive_id):
        if wanted.id:
            raise AlreadyExists(f"there is an archive {archive_id} already")
        return get(connection, tenant, archive_id)
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
    return get(connection, tenant, archive_id)


def exists(connection: Connection, tenant: Tenant, archive_id: str) -> bool:
    query = select(archives.c.id).where(owned(archives, tenant), archives.c.id == archive_id)
    return connection.execute(query).scalar() is not None


def get(connection: Connection, tenant: Tenant, archive_id: str) -> Archive:
    """Raises: NotFound."""
    row = connection.execute(select(archives).where(owned(archives, tenant), archives.c.id == archive_id)).one_or_none()
    if row is None:
        raise NotFound("archive", archive_id)
    return _to_archive(row._mapping)


def list_page(
    connection: Connection, tenant: Tenant, request: ListArchivesRequest, page: Page
) -> tuple[list[Archive], str]:
    key = tuple_(archives.c.created_at, archives.c.id)
    query = select(archives).where(owned(archives, tenant))
    if request.name:
        query = query.where(archives.c.name == request.name)
    for anchor_id, behind in ((request.after_id, True), (request.before_id, False)):
        if not anchor_id:
            continue
        anchor = connection.execute(
            select(archives.c.created_at, archives.c.id).where(owned(archives, tenant), archives.c.id == anchor_id)
        ).one_or_none()
        if anchor is None:
            return [], ""
        query = query.where(key < tuple(anchor) if page.descending is behind else key > tuple(anchor))
    if page.cursor is not None:
        query = query.where(key < page.cursor if page.descending else key > page.cursor)
    ends = (archives.c.created_at.desc(), archives.c.id.desc()) if page.descending else (key,)
    rows = connection.execute(query.order_by(*ends).limit(page.size + 1)).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    token = page.token((rows[-1].created_at, rows[-1].id)) if more else ""
    return [_to_archive(row._mapping) for row in rows], token


def change(connection: Connection, tenant: Tenant, wanted: Archive, paths: Sequence[str]) -> Archive:
    """Raises: NotFound, InvalidArgument."""
    get(connection, tenant, wanted.id)
    values: dict[str, Any] = {"updated_at": now()}
    for path in paths:
        if path not in UPDATABLE:
            raise InvalidArgument.of("update_mask", f"{path} can't be updated; it takes {', '.join(sorted(UPDATABLE))}")
        values[path] = MessageToDict(wanted.metadata) if path == "metadata" else getattr(wanted, path)
    connection.execute(update(archives).where(owned(archives, tenant), archives.c.id == wanted.id).values(**values))
    return get(connection, tenant, wanted.id)


def remove(connection: Connection, tenant: Tenant, archive_id: str) -> list[int]:
    """Deletes an archive with its passages; gives their numbers, which the index has to forget. Raises: NotFound."""
    get(connection, tenant, archive_id)
    inside = and_(owned(passages, tenant), passages.c.archive_id == archive_id)
    numbers = list(connection.execute(select(passages.c.n).where(inside)).scalars())
    if numbers:
        connection.execute(insert(outbox).prefix_with("OR IGNORE"), [{"n": n} for n in numbers])
    connection.execute(delete(passages).where(inside))
    connection.execute(delete(inserts).where(owned(inserts, tenant), inserts.c.archive_id == archive_id))
    connection.execute(delete(archives).where(owned(archives, tenant), archives.c.id == archive_id))
    return numbers


def all_ids(connection: Connection, tenant: Tenant) -> list[str]:
    return list(connection.execute(select(archives.c.id).where(owned(archives, tenant))).scalars())


def _to_archive(row: Any) -> Archive:
    archive = Archive(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        create_time=timestamp(row["created_at"]),
        update_time=timestamp(row["updated_at"]),
    )
    if row["metadata"]:
        archive.metadata.CopyFrom(ParseDict(row["metadata"], Struct()))
    return archive
