"""Which blocks an agent has, and which agents a block."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.json_format import ParseDict
from sqlalchemy import Connection, Text, bindparam, func, literal_column, select

from agent_service import clock
from agent_service.stores.rows import mine, of_owner, owned, readable
from agent_service.stores.tables import agent_blocks, blocks
from servicekit.principal import Tenant
from servicekit.sql import Prepared
from triptych import ACCOUNT
from triptych.agent.v1.agent_pb2 import Block
from triptych.errors import NotFound

# Of a block's columns, those that are read.
_SHOWN = (
    "user_id",
    "id",
    "label",
    "value",
    "description",
    "character_limit",
    "read_only",
    "metadata",
    "tags",
    "revision",
    "created_at",
    "updated_at",
)
_ATTACHED = (
    select(agent_blocks.c.agent_id.label("attached_to"), *(blocks.c[name] for name in _SHOWN))
    .join_from(
        agent_blocks,
        blocks,
        (agent_blocks.c.account_id == blocks.c.account_id)
        # The user's own, or one that its account shares.
        & blocks.c.user_id.in_((agent_blocks.c.user_id, literal_column(f"'{ACCOUNT}'")))
        # The empty text keeps SQLite from beginning with all blocks that there are: the agent's few come first.
        & (agent_blocks.c.block_id.concat("") == blocks.c.id),
    )
    .order_by(agent_blocks.c.position)
)
_OF_AGENT = Prepared(_ATTACHED.where(mine(agent_blocks), agent_blocks.c.agent_id == bindparam("of_agent")))
_OF_AGENTS = _ATTACHED.where(mine(agent_blocks), agent_blocks.c.agent_id.in_(bindparam("of_agents", expanding=True)))
# The same with the ids as one parameter, a JSON list: a list of parameters is another statement for each length.
_LISTED = func.json_each(bindparam("of_agents", type_=Text)).table_valued("value")
_OF_LISTED_AGENTS = Prepared(_ATTACHED.where(mine(agent_blocks), agent_blocks.c.agent_id.in_(select(_LISTED.c.value))))


def of_agent(connection: Connection, tenant: Tenant, agent_id: str) -> list[Block]:
    """The agent's blocks in the order in which they are compiled."""
    return [to_block(row, tenant) for row in rows_of_agent(connection, tenant, agent_id)]


def rows_of_agent(connection: Connection, tenant: Tenant, agent_id: str) -> Sequence[Any]:
    """The same as they are kept: see `put`."""
    return _OF_AGENT.all(connection, of_owner(tenant, of_agent=agent_id))


def rows_of_agents(connection: Connection, tenant: Tenant, agent_ids: Sequence[str]) -> dict[str, list[Any]]:
    """The same of many agents, by agent."""
    rows: Iterable[Any]
    if connection.dialect.name == "sqlite":
        listed = json.dumps(list(agent_ids))
        rows = _OF_LISTED_AGENTS.all(connection, of_owner(tenant, of_agents=listed))
    else:
        rows = connection.execute(_OF_AGENTS, of_owner(tenant, of_agents=list(agent_ids)))
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.attached_to, []).append(row)
    return found


def agents_with(connection: Connection, tenant: Tenant, block_id: str) -> Sequence[str]:
    query = select(agent_blocks.c.agent_id).where(owned(agent_blocks, tenant), agent_blocks.c.block_id == block_id)
    return connection.execute(query).scalars().all()


def is_with_users(connection: Connection, account: Tenant, block_id: str) -> bool:
    """Whether an agent of a user of the account has the account's block."""
    theirs = (agent_blocks.c.account_id == account.account_id) & (agent_blocks.c.user_id != account.user_id)
    query = select(agent_blocks.c.agent_id).where(theirs, agent_blocks.c.block_id == block_id).limit(1)
    return connection.execute(query).first() is not None


def whose(connection: Connection, tenant: Tenant, block_id: str) -> Tenant:
    """The owner of a block that the user may read: itself, or its account. Raises: NotFound."""
    query = select(blocks.c.user_id).where(readable(blocks, tenant), blocks.c.id == block_id)
    user_id: str | None = connection.execute(query).scalar_one_or_none()
    if user_id is None:
        raise NotFound("block", block_id)
    return Tenant(tenant.account_id, user_id)


def to_block(row: Any, tenant: Tenant) -> Block:
    """A row (its columns as attributes) as the contract's message. What the account shares is read-only."""
    return put(Block(), row, tenant)


def put(block: Block, row: Any, tenant: Tenant) -> Block:
    """The same into a message where it is: in lists, to make one and copy it there costs twice as much."""
    shared = row.user_id == ACCOUNT
    block.id, block.label, block.value, block.description = row.id, row.label, row.value, row.description
    block.limit, block.etag, block.shared = row.character_limit, str(row.revision), shared
    block.read_only = row.read_only or (shared and not tenant.is_account)
    clock.put(block.create_time, row.created_at)
    clock.put(block.update_time, row.updated_at)
    if row.tags:
        block.tags.extend(row.tags)
    if row.metadata:
        ParseDict(row.metadata, block.metadata)
    return block
