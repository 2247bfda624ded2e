"""Passages: inserted once, listed, deleted. Each write leaves a row in the outbox for the index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from archival_service.stores import archives
from archival_service.stores.rows import microseconds, now, owned, owner, timestamp
from archival_service.stores.tables import fences, inserts, outbox, passages
from servicekit import ids
from servicekit.paging import Page
from servicekit.principal import Tenant
from triptych.archival.v1.archival_pb2 import Archive, InsertPassagesRequest, ListPassagesRequest, Passage
from triptych.errors import AlreadyExists, FailedPrecondition, NotFound
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence


def insert_once(
    connection: Connection, tenant: Tenant, request: InsertPassagesRequest, vectors: Sequence[bytes]
) -> tuple[list[Passage], list[int]]:
    """Inserts the passages with their vectors, or gives what this `request_id` inserted before.

    Returns them and the numbers that are new to the index.
    Raises: NotFound (archive), FailedPrecondition (REQUEST_ID_REUSED, FENCED), AlreadyExists for an id that is taken.
    """
    digest = hashlib.sha256(
        b"".join(passage.SerializeToString(deterministic=True) + b"\0" for passage in request.passages)
    ).hexdigest()
    known = connection.execute(
        select(inserts.c.request_hash, inserts.c.passage_ids).where(
            owned(inserts, tenant),
            inserts.c.archive_id == request.archive_id,
            inserts.c.request_id == request.request_id,
        )
    ).one_or_none()
    if known is not None:
        if known.request_hash != digest:
            raise FailedPrecondition(
                "request_id: was used before for other passages", reason=type_pb2.ERROR_REASON_REQUEST_ID_REUSED
            )
        return get_many(connection, tenant, known.passage_ids), []
    _check_fence(connection, tenant, request.fence)
    if not archives.exists(connection, tenant, request.archive_id):
        if not request.create_archive_name:
            raise NotFound("archive", request.archive_id)
        wanted = Archive(id=request.archive_id, name=request.create_archive_name)
        archives.create(connection, tenant, wanted, "")
    return _insert(connection, tenant, request, vectors, digest)


def _insert(
    connection: Connection, tenant: Tenant, request: InsertPassagesRequest, vectors: Sequence[bytes], digest: str
) -> tuple[list[Passage], list[int]]:
    rows = [
        {
            **owner(tenant),
            "id": given.id or ids.derived("passage", *tenant, request.archive_id, request.request_id, position),
            "archive_id": request.archive_id,
            "text": given.text,
            "tags": list(dict.fromkeys(given.tags)),
            "metadata": MessageToDict(given.metadata),
            "created_at": microseconds(given.create_time) if given.HasField("create_time") else now(),
            "vector": vector,
        }
        for position, (given, vector) in enumerate(zip(request.passages, vectors, strict=True))
    ]
    try:
        numbers = list(
            connection.execute(insert(passages).returning(passages.c.n, sort_by_parameter_order=True), rows).scalars()
        )
    except IntegrityError:
        raise AlreadyExists("a passage of one of these ids is already there") from None
    connection.execute(insert(outbox), [{"n": n} for n in numbers])
    connection.execute(
        insert(inserts).values(
            **owner(tenant),
            archive_id=request.archive_id,
            request_id=request.request_id,
            request_hash=digest,
            passage_ids=[row["id"] for row in rows],
        )
    )
    return [to_passage(row) for row in rows], numbers


def _check_fence(connection: Connection, tenant: Tenant, fence: Fence) -> None:
    """Raises: FailedPrecondition FENCED for a token lower than the highest seen."""
    if not fence.token:
        return
    here = owned(fences, tenant) & (fences.c.scope == fence.scope)
    highest = connection.execute(select(fences.c.token).where(here)).scalar()
    if highest is None:
        connection.execute(insert(fences).values(**owner(tenant), scope=fence.scope, token=fence.token))
    elif fence.token < highest:
        raise FailedPrecondition("a newer owner of this scope has written", reason=type_pb2.ERROR_REASON_FENCED)
    elif fence.token > highest:
        connection.execute(update(fences).where(here).values(token=fence.token))


def get(connection: Connection, tenant: Tenant, passage_id: str) -> Passage:
    """Raises: NotFound."""
    found = get_many(connection, tenant, [passage_id])
    if not found:
        raise NotFound("passage", passage_id)
    return found[0]


def get_many(connection: Connection, tenant: Tenant, passage_ids: Sequence[str]) -> list[Passage]:
    """Those that exist, in the order asked for."""
    query = select(passages).where(owned(passages, tenant), passages.c.id.in_(passage_ids))
    found = {row.id: to_passage(row._mapping) for row in connection.execute(query)}
    return [found[wanted] for wanted in passage_ids if wanted in found]


def by_numbers(connection: Connection, tenant: Tenant, numbers: Sequence[int]) -> dict[int, Passage]:
    query = select(passages).where(owned(passages, tenant), passages.c.n.in_(numbers))
    return {row.n: to_passage(row._mapping) for row in connection.execute(query)}


def list_page(
    connection: Connection, tenant: Tenant, request: ListPassagesRequest, page: Page
) -> tuple[list[Passage], str]:
    """In the order of arrival, or backwards; `before_id` and `after_id` are meant in that order."""
    query = select(passages).where(owned(passages, tenant))
    if request.archive_ids:
        query = query.where(passages.c.archive_id.in_(request.archive_ids))
    if request.contains:
        query = query.where(passages.c.text.icontains(request.contains, autoescape=True))
    for anchor_id, behind in ((request.after_id, True), (request.before_id, False)):
        if not anchor_id:
            continue
        anchor = connection.execute(
            select(passages.c.n).where(owned(passages, tenant), passages.c.id == anchor_id)
        ).scalar()
        if anchor is None:
            return [], ""
        query = query.where(passages.c.n < anchor if page.descending is behind else passages.c.n > anchor)
    if page.cursor is not None:
        (cursor,) = page.cursor
        query = query.where(passages.c.n < cursor if page.descending else passages.c.n > cursor)
    query = query.order_by(passages.c.n.desc() if page.descending else passages.c.n)
    rows = connection.execute(query.limit(page.size + 1)).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    return [to_passage(row._mapping) for row in rows], page.token((rows[-1].n,)) if more else ""


def count(connection: Connection, tenant: Tenant, archive_ids: Sequence[str]) -> int:
    query = select(func.count()).select_from(passages).where(owned(passages, tenant))
    if archive_ids:
        query = query.where(passages.c.archive_id.in_(archive_ids))
    return connection.execute(query).scalar_one()


def remove(connection: Connection, tenant: Tenant, passage_id: str, archive_ids: Sequence[str]) -> int:
    """Deletes a passage; gives its number, which the index has to forget. Raises: NotFound."""
    query = select(passages.c.n).where(owned(passages, tenant), passages.c.id == passage_id)
    if archive_ids:
        query = query.where(passages.c.archive_id.in_(archive_ids))
    n = connection.execute(query).scalar()
    if n is None:
        raise NotFound("passage", passage_id)
    connection.execute(delete(passages).where(passages.c.n == n))
    connection.execute(insert(outbox).prefix_with("OR IGNORE").values(n=n))
    return n


def to_passage(row: Any) -> Passage:
    """A row (a mapping of the table's columns) as the contract's message."""
    passage = Passage(
        id=row["id"],
        archive_id=row["archive_id"],
        text=row["text"],
        tags=row["tags"],
        create_time=timestamp(row["created_at"]),
    )
    if row["metadata"]:
        passage.metadata.CopyFrom(ParseDict(row["metadata"], Struct()))
    return passage
