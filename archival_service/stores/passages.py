"""Passages: read, listed, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select

from archival_service.stores import listing, outbox, replacing, requests
from archival_service.stores.outbox import Change
from archival_service.stores.rows import not_changed_here, owned, owner, readable, timestamp
from archival_service.stores.tables import passages
from servicekit.paging import Page
from servicekit.principal import Tenant
from servicekit.sql.sizes import stored_bytes
from triptych.archival.v1.archival_pb2 import ListPassagesRequest, Passage, Source
from triptych.errors import NotFound

# Built once: a search runs it every time. The empty text keeps SQLite from reading all of the owner's rows through an
# index on the owner, where it takes a few by their numbers.
_BY_NUMBER = select(*(column for column in passages.c if column.name != "vector")).where(
    passages.c.account_id.concat("") == bindparam("account_id"),
    passages.c.user_id.concat("") == bindparam("user_id"),
    passages.c.n.in_(bindparam("numbers", expanding=True)),
)

_NO_SOURCE: Mapping[str, Any] = {"document_id": "", "file_name": "", "source": None}


def get(connection: Connection, tenant: Tenant, passage_id: str) -> Passage:
    """The owner's or its account's. Raises: NotFound."""
    for whose in dict.fromkeys((tenant, tenant.account)):
        if found := get_many(connection, whose, [passage_id]):
            return found[0]
    raise NotFound("passage", passage_id)


def get_many(connection: Connection, tenant: Tenant, passage_ids: Sequence[str]) -> list[Passage]:
    """Those that exist, in the order asked for."""
    query = select(passages).where(owned(passages, tenant), passages.c.id.in_(passage_ids))
    found = {row.id: to_passage(row._mapping) for row in connection.execute(query)}
    replacing.mark(connection, tenant, list(found.values()))
    return [found[wanted] for wanted in passage_ids if wanted in found]


def by_numbers(connection: Connection, tenant: Tenant, numbers: Sequence[int]) -> dict[int, Passage]:
    """Those of the numbers that are passages of the owner."""
    rows = connection.execute(_BY_NUMBER, {**owner(tenant), "numbers": numbers})
    found = {row.n: to_passage(row._mapping) for row in rows}
    replacing.mark(connection, tenant, list(found.values()))
    return found


def list_page(
    connection: Connection, tenant: Tenant, request: ListPassagesRequest, page: Page
) -> tuple[list[Passage], str]:
    """As `ArchivalStore.list_passages`."""
    where: list[ColumnElement[bool]] = []
    if request.archive_ids:
        where.append(passages.c.archive_id.in_(request.archive_ids))
    if request.document_ids:
        where.append(passages.c.document_id.in_(request.document_ids))
    if request.file_names:
        where.append(passages.c.file_name.in_(request.file_names))
    if request.contains:
        where.append(_contains(connection, request.contains))
    window = listing.Window(page, request.after_id, request.before_id)
    found, token = listing.fetch(
        connection,
        tenant,
        passages,
        (passages.c.n,),
        where,
        window,
        lambda row: to_passage(row._mapping),
        shared=bool(request.archive_ids),
    )
    replacing.mark(connection, tenant, found)
    return found, token


def _contains(connection: Connection, wanted: str) -> ColumnElement[bool]:
    if connection.dialect.name == "postgresql":
        return func.strpos(func.lower(passages.c.text), func.lower(wanted)) > 0
    # SQLite's own `lower` and `LIKE` know the case of ASCII letters alone.
    driver: Any = connection.connection.driver_connection
    driver.create_function("casefold", 1, str.casefold, deterministic=True)
    return func.instr(func.casefold(passages.c.text), wanted.casefold()) > 0


def count(connection: Connection, tenant: Tenant, archive_ids: Sequence[str]) -> int:
    query = select(func.count()).select_from(passages).where(*_within(tenant, archive_ids))
    return connection.execute(query).scalar_one()


def stored(connection: Connection, tenant: Tenant, archive_ids: Sequence[str]) -> int:
    """Bytes of texts, tags and metadata."""
    size = stored_bytes(passages.c.text, passages.c.tags, passages.c.metadata)
    return connection.execute(select(size).where(*_within(tenant, archive_ids))).scalar_one()


def _within(tenant: Tenant, archive_ids: Sequence[str]) -> list[ColumnElement[bool]]:
    """That a passage is in one of these archives; in one of the owner's own if none is given."""
    if archive_ids:
        return [readable(passages, tenant), passages.c.archive_id.in_(archive_ids)]
    return [owned(passages, tenant)]


def owners_of_many(connection: Connection, many: int) -> list[Tenant]:
    """Who has so many passages, or more; who has most comes first."""
    key = (passages.c.account_id, passages.c.user_id)
    query = select(*key).group_by(*key).having(func.count() >= many).order_by(func.count().desc())
    return [Tenant(*row) for row in connection.execute(query)]


def remove(
    connection: Connection, tenant: Tenant, passage_id: str, archive_ids: Sequence[str], request_id: str
) -> list[Change]:
    """As `ArchivalStore.delete_passage`; gives what the index has to forget."""
    content = requests.digest(b"delete passage", passage_id.encode(), *(each.encode() for each in archive_ids))
    if requests.answered(connection, tenant, request_id, content) is not None:
        return []
    named = passages.c.id == passage_id
    if archive_ids:
        named &= passages.c.archive_id.in_(archive_ids)
    this = owned(passages, tenant) & named
    changes = outbox.add(connection, this)
    if not changes:
        if connection.execute(select(passages.c.n).where(readable(passages, tenant), named)).first():
            raise not_changed_here("passage")
        raise NotFound("passage", passage_id)
    connection.execute(delete(passages).where(this))
    replacing.tidy(connection, tenant)
    requests.note(connection, tenant, request_id, content, "")
    return changes


def to_passage(row: Mapping[Any, Any]) -> Passage:
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
    if row["source"] is not None:
        passage.source.CopyFrom(Source(document_id=row["document_id"], file_name=row["file_name"], **row["source"]))
    return passage


def source_columns(passage: Passage) -> Mapping[str, Any]:
    """Where a passage comes from, as the table has it; the other way round `to_passage` does it."""
    if not passage.HasField("source"):
        return _NO_SOURCE
    source = passage.source
    place = {"page": source.page, "start": source.start, "end": source.end, "headings": list(source.headings)}
    return {"document_id": source.document_id, "file_name": source.file_name, "source": place}
