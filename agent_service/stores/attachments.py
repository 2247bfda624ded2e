"""Which blocks an agent had, and when: its core memory as of a time is told from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from agent_service import clock
from agent_service.stores import revisions
from agent_service.stores.rows import owned, owner
from agent_service.stores.tables import block_attachments
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.agent_pb2 import BlockAsOf

_BEGIN = Prepared(insert(block_attachments))


def began(connection: Connection, tenant: Tenant, agent_id: str, block_id: str, position: int) -> None:
    # Two attachments of one block are never at the same time, however coarse the clock is.
    last = connection.execute(
        select(func.max(block_attachments.c.attached_at)).where(_of(tenant, agent_id, block_id))
    ).scalar()
    at = max(clock.now(), (last or 0) + 1)
    connection.execute(
        insert(block_attachments).values(
            **owner(tenant), agent_id=agent_id, block_id=block_id, attached_at=at, position=position
        )
    )


def began_first(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """The same for blocks that were never attached. `rows`: of `agent_blocks`."""
    at = clock.now()
    _BEGIN.run(connection, *({**row, "attached_at": at} for row in rows))


def ended(connection: Connection, tenant: Tenant, agent_id: str, block_id: str) -> None:
    connection.execute(
        update(block_attachments)
        .where(_of(tenant, agent_id, block_id), block_attachments.c.detached_at.is_(None))
        .values(detached_at=clock.now())
    )


def core_memory_as_of(connection: Connection, tenant: Tenant, agent_id: str, at: int) -> list[BlockAsOf]:
    """The blocks that the agent had at that time (microseconds), each as it was then, in their order."""
    query = select(block_attachments.c.block_id).where(
        owned(block_attachments, tenant),
        block_attachments.c.agent_id == agent_id,
        block_attachments.c.attached_at <= at,
        or_(block_attachments.c.detached_at.is_(None), block_attachments.c.detached_at > at),
    )
    block_ids = connection.execute(query.order_by(block_attachments.c.position)).scalars().all()
    return [
        BlockAsOf(block_id=block_id, revision=revisions.as_of(connection, tenant, block_id, at))
        for block_id in block_ids
    ]


def _of(tenant: Tenant, agent_id: str, block_id: str) -> ColumnElement[bool]:
    return owned(block_attachments, tenant) & (
        (block_attachments.c.agent_id == agent_id) & (block_attachments.c.block_id == block_id)
    )
