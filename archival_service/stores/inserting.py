"""Inserting passages: once, and by none but the newest owner of the lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from google.protobuf.json_format import MessageToDict
from sqlalchemy import Connection, and_, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from archival_service.store import Entry
from archival_service.stores import archives, outbox, passages, replacing, requests
from archival_service.stores.numbering import next_numbers
from archival_service.stores.outbox import Change
from archival_service.stores.rows import in_parts, microseconds, now, owned, owner
from archival_service.stores.tables import fences, inserts
from archival_service.stores.tables import passages as table
from servicekit import ids
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.archival.v1.archival_pb2 import Archive, InsertPassagesRequest, Passage
from triptych.errors import AlreadyExists, FailedPrecondition, NotFound
from triptych.type.v1 import type_pb2
from triptych.type.v1.type_pb2 import Fence

_KNOWN = Prepared(
    select(inserts.c.request_hash, inserts.c.passage_ids).where(
        *(inserts.c[name] == bindparam(name) for name in ("account_id", "user_id", "archive_id", "request_id"))
    )
)
_HIGHEST = Prepared(
    select(fences.c.token).where(*(fences.c[name] == bindparam(name) for name in ("account_id", "user_id", "scope")))
)
_ADD = Prepared(insert(table))
# What the index keeps of a row.
_KEPT = itemgetter(*Entry._fields)
_NOTE = Prepared(insert(inserts))


@dataclass(frozen=True)
class Stored:
    """What an insert has stored. `changes`: of which the index may not know; `entries`: what it is to be told then."""

    passages: list[Passage]
    changes: list[Change]
    entries: list[Entry]


def seen(connection: Connection, tenant: Tenant, request: InsertPassagesRequest) -> bool:
    """Whether this `request_id` has inserted before. A new one is refused here if `insert_once` would refuse it.

    So nothing is embedded in vain, and a replay needs no embedder. Raises: as `ArchivalStore.insert`.
    """
    if _known(connection, tenant, request, _digest(request)) is not None:
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
    return _replay(connection, tenant, request, _digest(request))


def _replay(connection: Connection, tenant: Tenant, request: InsertPassagesRequest, content: str) -> Stored | None:
    known = _known(connection, tenant, request, content)
    if known is None:
        return None
    _raise_fence(connection, tenant, request.fence)
    mine = and_(owned(table, tenant), table.c.id.in_(known))
    changes = outbox.of_passages(connection, mine)
    entries = outbox.entries(connection, sorted({change.n for change in changes}))
    return Stored(passages.get_many(connection, tenant, known), changes, entries)


def insert_once(
    connection: Connection, tenant: Tenant, request: InsertPassagesRequest, vectors: Sequence[bytes]
) -> Stored:
    """As `ArchivalStore.insert`, up to the index. `vectors`: one a passage, float16, little-endian."""
    content = _digest(request)
    before = _replay(connection, tenant, request, content)
    if before is not None:
        return before
    check_fence(connection, tenant, request.fence)
    _raise_fence(connection, tenant, request.fence)
    if not _archive_is_there(connection, tenant, request):
        archives.create(connection, tenant, Archive(id=request.archive_id, name=request.create_archive_name), "")
    _refuse_taken(connection, tenant, [each.id for each in request.passages if each.id])
    rows = _rows(connection, tenant, request, vectors)
    try:
        _ADD.run(connection, *rows)
    except IntegrityError as error:  # somebody has named one as this request would
        raise AlreadyExists("there is a passage of one of these ids already") from error
    replacing.note(connection, tenant, rows)
    changes = outbox.add_new(connection, [row["n"] for row in rows])
    new = {"archive_id": request.archive_id, "request_id": request.request_id, "request_hash": content}
    _NOTE.run(connection, {**owner(tenant), **new, "passage_ids": [row["id"] for row in rows]})
    return Stored([passages.to_passage(row) for row in rows], changes, [_entry(row) for row in rows])


def _refuse_taken(connection: Connection, tenant: Tenant, passage_ids: Sequence[str]) -> None:
    """Raises: AlreadyExists."""
    for part in in_parts(passage_ids):
        taken = connection.execute(select(table.c.id).where(owned(table, tenant), table.c.id.in_(part))).scalars()
        if (one := taken.first()) is not None:
            raise AlreadyExists(f"there is a passage {one} already")


def _rows(
    connection: Connection, tenant: Tenant, request: InsertPassagesRequest, vectors: Sequence[bytes]
) -> list[dict[str, Any]]:
    """A row of the table for each passage."""
    fixed = {**owner(tenant), "archive_id": request.archive_id}
    key, at = (*tenant, request.archive_id, request.request_id), now()
    return [
        {
            **fixed,
            "n": n,
            "id": given.id or ids.derived("passage", *key, position),
            "text": given.text,
            "tags": list(dict.fromkeys(given.tags)),
            "metadata": MessageToDict(given.metadata) if given.HasField("metadata") else {},
            "created_at": microseconds(given.create_time) if given.HasField("create_time") else at,
            "vector": vector,
            **passages.source_columns(given),
        }
        for position, (n, given, vector) in enumerate(
            zip(next_numbers(connection, table, len(vectors)), request.passages, vectors, strict=True)
        )
    ]


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(*_KEPT(row))


def _known(connection: Connection, tenant: Tenant, request: InsertPassagesRequest, content: str) -> list[str] | None:
    """The ids that this request inserted before. Raises: FailedPrecondition REQUEST_ID_REUSED."""
    asked = {**owner(tenant), "archive_id": request.archive_id, "request_id": request.request_id}
    known = _KNOWN.first(connection, asked)
    if known is None:
        return None
    requests.check_same(known.request_hash, content)
    passage_ids: list[str] = known.passage_ids
    return passage_ids


def _digest(request: InsertPassagesRequest) -> str:
    """Of the content alone: a replay may come under a newer fence."""
    content = [*request.passages, *request.vectors]
    return requests.digest(*(each.SerializeToString(deterministic=True) for each in content))


def _highest(connection: Connection, tenant: Tenant, scope: str) -> int | None:
    found = _HIGHEST.first(connection, {**owner(tenant), "scope": scope})
    return None if found is None else found.token


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
