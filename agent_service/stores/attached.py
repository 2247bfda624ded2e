"""Which blocks an agent has, and which agents a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import Connection, bindparam, select

from agent_service import clock
from agent_service.stores.rows import mine, of_owner, owned
from agent_service.stores.tables import agent_blocks, blocks
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych.agent.v1.agent_pb2 import Block

_ATTACHED = (
    select(agent_blocks.c.agent_id.label("attached_to"), blocks)
    .join_from(
        agent_blocks,
        blocks,
        (agent_blocks.c.account_id == blocks.c.account_id)
        & (agent_blocks.c.user_id == blocks.c.user_id)
        & (agent_blocks.c.block_id == blocks.c.id),
    )
    .order_by(agent_blocks.c.position)
)
_OF_AGENT = Prepared(_ATTACHED.where(mine(agent_blocks), agent_blocks.c.agent_id == bindparam("of_agent")))

_OF_AGENTS = _ATTACHED.where(mine(agent_blocks), agent_blocks.c.agent_id.in_(bindparam("of_agents", expanding=True)))


def of_agent(connection: Connection, tenant: Tenant, agent_id: str) -> list[Block]:
    """The agent's blocks in the order in which they are compiled."""
    return [to_block(row._asdict()) for row in _OF_AGENT.all(connection, of_owner(tenant, of_agent=agent_id))]


def of_agents(connection: Connection, tenant: Tenant, agent_ids: Sequence[str]) -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for row in connection.execute(_OF_AGENTS, of_owner(tenant, of_agents=list(agent_ids))):
        found.setdefault(row.attached_to, []).append(to_block(row._mapping))
    return found


def agents_with(connection: Connection, tenant: Tenant, block_id: str) -> Sequence[str]:
    query = select(agent_blocks.c.agent_id).where(owned(agent_blocks, tenant), agent_blocks.c.block_id == block_id)
    return connection.execute(query).scalars().all()


def to_block(row: Any) -> Block:
    """A row (a mapping of the table's columns) as the contract's message."""
    block = Block(
        id=row["id"],
        label=row["label"],
        value=row["value"],
        description=row["description"],
        limit=row["character_limit"],
        read_only=row["read_only"],
        etag=str(row["revision"]),
    )
    clock.put(block.create_time, row["created_at"])
    clock.put(block.update_time, row["updated_at"])
    if row["tags"]:
        block.tags.extend(row["tags"])
    if row["metadata"]:
        block.metadata.CopyFrom(ParseDict(row["metadata"], Struct()))
    return block
