"""Puts blocks into agents' core memory, and takes them out. Of a label an agent has one, and of blocks at most 100."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from agent_service.stores import attachments, blocks
from agent_service.stores.attached import of_agent
from agent_service.stores.rows import owned, owner
from agent_service.stores.tables import agent_blocks, block_attachments
from agent_service.stores.tables import blocks as table
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.agent_pb2 import Block
from triptych.errors import AlreadyExists, FailedPrecondition, NotFound

MAX_BLOCKS = 100
_ATTACH = Prepared(insert(agent_blocks))


def create_with_agent(connection: Connection, tenant: Tenant, agent_id: str, wanted: Sequence[Block]) -> list[Block]:
    """Makes the blocks that a new agent comes with, and attaches them in their order.

    Raises: InvalidArgument; AlreadyExists for two of one label; FailedPrecondition for more than 100.
    """
    if not wanted:
        return []
    if len(wanted) > MAX_BLOCKS:
        raise _too_many()
    made = blocks.create_all(connection, tenant, wanted, agent_id=agent_id)
    for number, block in enumerate(made):
        if any(other.label == block.label for other in made[:number]):
            raise _label_taken(block.label)
    rows = [
        {**owner(tenant), "agent_id": agent_id, "block_id": block.id, "position": position}
        for position, block in enumerate(made)
    ]
    _ATTACH.run(connection, *rows)
    attachments.began_first(connection, rows)
    return made


def attach(connection: Connection, tenant: Tenant, agent_id: str, block_id: str) -> None:
    """Puts a block behind the agent's others. Attaching it again changes nothing.

    Raises: NotFound; AlreadyExists if the agent has another block of that label; FailedPrecondition at 100 blocks.
    """
    block = blocks.get(connection, tenant, block_id)
    there = of_agent(connection, tenant, agent_id)
    if any(other.id == block_id for other in there):
        return
    if any(other.label == block.label for other in there):
        raise _label_taken(block.label)
    if len(there) >= MAX_BLOCKS:
        raise _too_many()
    last = connection.execute(
        select(func.max(agent_blocks.c.position)).where(
            owned(agent_blocks, tenant), agent_blocks.c.agent_id == agent_id
        )
    ).scalar()
    position = 0 if last is None else last + 1
    connection.execute(
        insert(agent_blocks).values(**owner(tenant), agent_id=agent_id, block_id=block_id, position=position)
    )
    attachments.began(connection, tenant, agent_id, block_id, position)
    # With its first agent gone, a block that another agent shares must stay.
    connection.execute(
        update(table)
        .where(owned(table, tenant), table.c.id == block_id, table.c.agent_id.is_not(None))
        .where(table.c.agent_id != agent_id)
        .values(agent_id=None)
    )


def detach(connection: Connection, tenant: Tenant, agent_id: str, block_id: str) -> None:
    """Takes a block out of the agent's core memory; it stays as a block of its own. Raises: NotFound."""
    gone = connection.execute(
        delete(agent_blocks).where(
            owned(agent_blocks, tenant), agent_blocks.c.agent_id == agent_id, agent_blocks.c.block_id == block_id
        )
    )
    if gone.rowcount == 0:
        raise NotFound("block", block_id)
    attachments.ended(connection, tenant, agent_id, block_id)
    connection.execute(update(table).where(owned(table, tenant), table.c.id == block_id).values(agent_id=None))


def remove_of_agent(connection: Connection, tenant: Tenant, agent_id: str) -> None:
    """What goes with an agent: its attachments, and the blocks that were made with it."""
    for held in (agent_blocks, block_attachments):
        connection.execute(delete(held).where(owned(held, tenant), held.c.agent_id == agent_id))
    own = select(table.c.id).where(owned(table, tenant), table.c.agent_id == agent_id)
    for block_id in connection.execute(own).scalars().all():
        blocks.remove(connection, tenant, block_id)


def _too_many() -> FailedPrecondition:
    return FailedPrecondition(f"an agent has at most {MAX_BLOCKS} blocks")


def _label_taken(label: str) -> AlreadyExists:
    return AlreadyExists(f"the agent already has a block labelled {label}")
