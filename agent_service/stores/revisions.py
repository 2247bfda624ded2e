"""Every value that a block has had, and who wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select

from agent_service import clock
from agent_service.stores.rows import owned, owner, readable
from agent_service.stores.tables import block_revisions, blocks
from servicekit import paging
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1 import agent_pb2 as pb
from triptych.agent.v1.agent_pb2 import Block, BlockRevision, RevisionAuthor
from triptych.errors import NotFound

_USER_AUTHOR = "user"
_INSERT = Prepared(insert(block_revisions))


@dataclass(frozen=True)
class Origin:
    """Where an edit comes from.

    `author`: `user`, or `turn/step/call` of an agent's tool call.
    `sources`: ids of the messages that it was taken from. `undone_revision`: what it takes back; 0 for nothing.
    """

    author: str = _USER_AUTHOR
    agent_id: str = ""
    sources: tuple[str, ...] = ()
    undone_revision: int = 0


USER = Origin()


def add(connection: Connection, tenant: Tenant, blocks: Sequence[Block], origin: Origin) -> None:
    """Notes each block, as it now is, as the revision that its etag says."""
    rows = [
        {
            **owner(tenant),
            "block_id": block.id,
            "revision": int(block.etag),
            "value": block.value,
            "author": origin.author,
            "agent_id": origin.agent_id,
            "label": block.label,
            "undone_revision": origin.undone_revision,
            "sources": list(origin.sources),
            "created_at": clock.microseconds(block.update_time),
        }
        for block in blocks
    ]
    _INSERT.run(connection, *rows)


def get(connection: Connection, tenant: Tenant, block_id: str, revision: int) -> BlockRevision:
    """Raises: NotFound."""
    query = _of_block(tenant, block_id).where(block_revisions.c.revision == revision)
    return _one(connection, tenant, block_id, query)


def changed(connection: Connection, tenant: Tenant, block_id: str, revision: int) -> bool:
    """Whether a revision, not the first, has another value than the one before it. Raises: NotFound."""
    before = get(connection, tenant, block_id, revision - 1)
    return get(connection, tenant, block_id, revision).value != before.value


def as_of(connection: Connection, tenant: Tenant, block_id: str, at: int) -> BlockRevision:
    """What the block held at a time (microseconds). Raises: NotFound, also for a time before it was made."""
    query = _of_block(tenant, block_id).where(block_revisions.c.created_at <= at)
    return _one(connection, tenant, block_id, query.order_by(block_revisions.c.revision.desc()).limit(1))


def list_page(
    connection: Connection, tenant: Tenant, block_id: str, page: paging.Page
) -> tuple[list[BlockRevision], str]:
    """Newest first. Raises: NotFound."""
    label = _label(connection, tenant, block_id)
    query = _of_block(tenant, block_id)
    if page.cursor is not None:
        query = query.where(block_revisions.c.revision < page.cursor[0])
    rows = connection.execute(query.order_by(block_revisions.c.revision.desc()).limit(page.size + 1)).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    return [_to_revision(row, label) for row in rows], page.token((rows[-1].revision,)) if more else ""


def of_turn(connection: Connection, tenant: Tenant, turn_id: str) -> list[tuple[str, int]]:
    """Blocks and revisions that a turn wrote, newest first."""
    rows = block_revisions
    query = select(rows.c.block_id, rows.c.revision).where(
        owned(rows, tenant), rows.c.author.startswith(f"{turn_id}/", autoescape=True)
    )
    found = connection.execute(query.order_by(rows.c.created_at.desc(), rows.c.revision.desc()))
    return [(row.block_id, row.revision) for row in found]


def _one(connection: Connection, tenant: Tenant, block_id: str, query: Select[Any]) -> BlockRevision:
    label = _label(connection, tenant, block_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("block revision", block_id)
    return _to_revision(row, label)


def _label(connection: Connection, tenant: Tenant, block_id: str) -> str:
    """The block's label now. Raises: NotFound."""
    query = select(blocks.c.label).where(readable(blocks, tenant), blocks.c.id == block_id)
    label: str | None = connection.execute(query).scalar_one_or_none()
    if label is None:
        raise NotFound("block", block_id)
    return label


def _of_block(tenant: Tenant, block_id: str) -> Select[Any]:
    return select(block_revisions).where(readable(block_revisions, tenant), block_revisions.c.block_id == block_id)


def _to_revision(row: Row[Any], label: str) -> BlockRevision:
    return BlockRevision(
        revision=row.revision,
        value=row.value,
        author=row.author,
        create_time=clock.timestamp(row.created_at),
        edited_by=_author(row),
        label=label if row.label is None else row.label,
        undone_revision=row.undone_revision,
        source_message_ids=row.sources or (),
    )


def _author(row: Row[Any]) -> RevisionAuthor:
    if row.author == _USER_AUTHOR:
        return RevisionAuthor(type=pb.AUTHOR_TYPE_USER)
    turn_id, step, call = row.author.rsplit("/", 2)
    # Sleep-time turns, and they alone, say which messages they have it from.
    kind = pb.AUTHOR_TYPE_AGENT if row.sources else pb.AUTHOR_TYPE_TOOL_CALL
    return RevisionAuthor(type=kind, agent_id=row.agent_id, turn_id=turn_id, step=int(step), call=int(call))
