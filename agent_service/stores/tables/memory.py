"""Agents, what they have in mind, and who they are for."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from agent_service.stores.tables.base import metadata, owner

agents = Table(
    "agents",
    metadata,
    *owner(),
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # triptych.agent.v1.Agent without its blocks and times
    Column("body", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("last_turn_at", BigInteger),
    Index("agents_by_time", "account_id", "user_id", "created_at", "id"),
)

blocks = Table(
    "blocks",
    metadata,
    *owner(),
    Column("id", String(64), primary_key=True),
    # The agent that it was made with and goes with; null for a block that stands on its own.
    Column("agent_id", String(64)),
    Column("label", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("character_limit", Integer, nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("blocks_by_time", "account_id", "user_id", "created_at", "id"),
)

agent_blocks = Table(
    "agent_blocks",
    metadata,
    *owner(),
    Column("agent_id", String(64), primary_key=True),
    Column("block_id", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Index("agent_blocks_by_block", "account_id", "user_id", "block_id"),
)

block_revisions = Table(
    "block_revisions",
    metadata,
    *owner(),
    Column("block_id", String(64), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("value", Text, nullable=False),
    # `user`, or `turn/step/call`
    Column("author", Text, nullable=False),
    # The agent that wrote it; '' for a user.
    Column("agent_id", String(64), nullable=False, server_default=""),
    # What the block was called; null in rows older than this column.
    Column("label", Text),
    Column("undone_revision", BigInteger, nullable=False, server_default="0"),
    # Ids of the messages that the agent has it from.
    Column("sources", JSON),
    Column("created_at", BigInteger, nullable=False),
)

# When an agent had a block in its core memory: what it held at a time can be told from it.
block_attachments = Table(
    "block_attachments",
    metadata,
    *owner(),
    Column("agent_id", String(64), primary_key=True),
    Column("block_id", String(64), primary_key=True),
    Column("attached_at", BigInteger, primary_key=True),
    # Null: it still has it.
    Column("detached_at", BigInteger),
    Column("position", Integer, nullable=False),
    Index("block_attachments_by_block", "account_id", "user_id", "block_id"),
)

identities = Table(
    "identities",
    metadata,
    *owner(),
    Column("id", String(64), primary_key=True),
    Column("identifier_key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Integer, nullable=False),
    Column("properties", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "user_id", "identifier_key", name="identities_by_key"),
    Index("identities_by_time", "account_id", "user_id", "created_at", "id"),
)

# Which agent or block has which identity.
identity_links = Table(
    "identity_links",
    metadata,
    *owner(),
    Column("resource_id", String(64), primary_key=True),
    Column("identity_id", String(64), primary_key=True),
    Index("identity_links_by_identity", "account_id", "user_id", "identity_id"),
)
