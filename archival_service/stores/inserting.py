"""Inserting passages: once, and by none but the newest owner of the lease."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from sqlalchemy import Connection, and_, bindparam, insert, select, update

from archival_service.stores import archives, outbox, passages, requests
from archival_service.stores.outbox import Change
from archival_service.stores.rows import microseconds, now, owned, owner
from archival_service.stores.tables import fences, inserts
from archival_service.stores.tables import passages as table
from servicekit import ids
from servicekit.principal import Tenant
from triptych.archival.v1.archival_pb2 import Archive, InsertPassagesRequest, Passage
from triptych.errors import AlreadyExists, FailedPrecondition, NotFound
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

Stored = tuple[list[Passage], list[Change]]

# Built once: every insert asks it, twice.
_KNOWN = select(inserts.c.request_hash, inserts.c.passage_ids).where(
    *(inserts.c[name] == bindparam(name) for name in ("account_id", "user_id", "archive_id", "request_id"))
)


def seen(connection: Connection, tenant: Tenant, request: InsertPassagesRequest) -> bool:
    """Whether this `request_id` has inserted before. A new one is refused here if `insert_once` would refuse it.

    So nothing is embedded in vain, and a replay needs no embedder. Raises: as `ArchivalStore.insert`.
    """
    if _known(connection, tenant, request) is not None:
        return True
    check_fence(connection, tenant, request.fence)
    _archive_is_there(connection, tenant, request)
    return False


def _archive_is_there(connection: Connection, tenant: Tenant, request: InsertPassagesRequest) -> bool:
    """False if it has to be made. Raises: NotFound if it may not be."""
    there = archives.exists(connection, tenant, request.archive_id)
    if not there and not request.create_archive_name:
        raise NotFound("archive", request.archive_id)
    return there


def replay(connection: Connection, tenant: Tenant, request: InsertPassagesRequest) -> Stored | None:
    """What this `request_id` inserted before and is still there, with what the index may not know of it.

    It counts as a sign of life of the lease's owner: older ones are refused from here on. None if it is new.
    """
    known = _known(connection, tenant, request)
    if known is None:
        return None
    _raise_fence(connection, tenant, request.fence)
    mine = and_(owned(table, tenant), table.c.id.in_(known))
    return passages.get_many(connection, tenant, known), outbox.of_passages(connection, mine)


def insert_once(
    connection: Connection, tenant: Tenant, request: InsertPassagesRequest, vectors: Sequence[bytes]
) -> Stored:
    """As `ArchivalStore.insert`, up to the index. `vectors`: one a passage, float16, little-endian."""
    before = replay(connection, tenant, request)
    if before is not None:
        return before
    check_fence(connection, tenant, request.fence)
    _raise_fence(connection, tenant, request.fence)
    if not _archive_is_there(connection, tenant, request):
        archives.create(connection, tenant, Archive(id=request.archive_id, name=request.create_archive_name), "")
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
            **passages.source_columns(given),
        }
        for position, (given, vector) in enumerate(zip(request.passages, vectors, strict=True))
    ]
    passage_ids = [str(row["id"]) for row in rows]
    taken = passages.get_many(connection, tenant, passage_ids)
    if taken:
        raise AlreadyExists(f"there is a passage {taken[0].id} already")
    connection.execute(insert(table), rows)
    changes = outbox.add(connection, and_(owned(table, tenant), table.c.id.in_(passage_ids)))
    new = {"archive_id": request.archive_id, "request_id": request.request_id, "passage_ids": passage_ids}
    connection.execute(insert(inserts).values(**owner(tenant), **new, request_hash=_digest(request)))
    return [passages.to_passage(row) for row in rows], changes


def _known(connection: Connection, tenant: Tenant, request: InsertPassagesRequest) -> list[str] | None:
    """The ids that this request inserted before. Raises: FailedPrecondition REQUEST_ID_REUSED."""
    asked = {**owner(tenant), "archive_id": request.archive_id, "request_id": request.request_id}
    known = connection.execute(_KNOWN, asked).one_or_none()
    if known is None:
        return None
    requests.check_same(known.request_hash, _digest(request))
    passage_ids: list[str] = known.passage_ids
    return passage_ids


def _digest(request: InsertPassagesRequest) -> str:
    """Of the content alone: a replay may come under a newer fence."""
    content = [*request.passages, *request.vectors]
    return requests.digest(*(each.SerializeToString(deterministic=True) for each in content))


def _highest(connection: Connection, tenant: Tenant, scope: str) -> int | None:
    here = owned(fences, tenant) & (fences.c.scope == scope)
    return connection.execute(select(fences.c.token).where(here)).scalar()


def check_fence(connection: Connection, tenant: Tenant, fence: Fence) -> None:
    """Raises: FailedPrecondition FENCED for a token lower than the highest seen."""
    if fence.token and fence.token < (_highest(connection, tenant, fence.scope) or 0):
        raise FailedPrecondition("a newer owner of this scope has written", reason=type_pb2.ERROR_REASON_FENCED)


def next_fence(connection: Connection, tenant: Tenant, scope: str) -> Fence:
    """The fence of a new owner: from here on it refuses all who came before."""
    fence = Fence(scope=scope, token=(_highest(connection, tenant, scope) or 0) + 1)
    _raise_fence(connection, tenant, fence)
    return fence


def _raise_fence(connection: Connection, tenant: Tenant, fence: Fence) -> None:
    highest = _highest(connection, tenant, fence.scope) if fence.token else None
    if fence.token and highest is None:
        connection.execute(insert(fences).values(**owner(tenant), scope=fence.scope, token=fence.token))
    elif highest is not None and fence.token > highest:
        here = owned(fences, tenant) & (fences.c.scope == fence.scope)
        connection.execute(update(fences).where(here).values(token=fence.token))
