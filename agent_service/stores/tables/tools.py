"""Tools of users, and where they and models are had from."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from agent_service.stores.tables.base import metadata, owner

tools = Table(
    "tools",
    metadata,
    *owner(),
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("tool_type", Integer, nullable=False),
    # The MCP server that it came from and goes with.
    Column("mcp_server_id", String(64)),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # triptych.agent.v1.Tool without its times
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("account_id", "user_id", "name", name="tools_by_name"),
    Index("tools_by_time", "account_id", "user_id", "created_at", "id"),
)

mcp_servers = Table(
    "mcp_servers",
    metadata,
    *owner(),
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # triptych.agent.v1.McpServer without its times; of its headers and its environment only the names
    Column("body", LargeBinary, nullable=False),
    # The same message with their values, encrypted (agent_service.sealing); null in rows older than this column.
    Column("sealed", LargeBinary),
    UniqueConstraint("account_id", "user_id", "name", name="mcp_servers_by_name"),
    Index("mcp_servers_by_time", "account_id", "user_id", "created_at", "id"),
)

model_providers = Table(
    "model_providers",
    metadata,
    *owner(),
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # triptych.agent.v1.Provider without its key and its times
    Column("body", LargeBinary, nullable=False),
    # The key, encrypted (agent_service.sealing).
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("account_id", "user_id", "name", name="model_providers_by_name"),
    Index("model_providers_by_time", "account_id", "user_id", "created_at", "id"),
)
