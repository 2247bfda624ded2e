"""The tables. Every key begins with the owner, so that no query can forget whose rows it reads.

A record that is only ever read and written whole is kept as its serialised protobuf message (`body`), which can grow by
protobuf's own rules; what is searched or compared has a column beside it. Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()


def _owner() -> tuple[Column[str], Column[str]]:
    return Column("account_id", String(100), primary_key=True), Column("user_id", String(100), primary_key=True)


agents = Table(
    "agents",
    metadata,
    *_owner(),
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
    *_owner(),
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
    *_owner(),
    Column("agent_id", String(64), primary_key=True),
    Column("block_id", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Index("agent_blocks_by_block", "account_id", "user_id", "block_id"),
)

block_revisions = Table(
    "block_revisions",
    metadata,
    *_owner(),
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
    *_owner(),
    Column("agent_id", String(64), primary_key=True),
    Column("block_id", String(64), primary_key=True),
    Column("attached_at", BigInteger, primary_key=True),
    # Null: it still has it.
    Column("detached_at", BigInteger),
    Column("position", Integer, nullable=False),
    Index("block_attachments_by_block", "account_id", "user_id", "block_id"),
)

conversations = Table(
    "conversations",
    metadata,
    *_owner(),
    Column("id", String(64), primary_key=True),
    Column("agent_id", String(64), nullable=False),
    Column("summary", Text, nullable=False),
    # The process that may write, and how often that changed: the lease and its fence.
    Column("lease_owner", String(64)),
    Column("fence", BigInteger, nullable=False),
    # The first message that the model still sees word for word.
    Column("window_start", BigInteger, nullable=False),
    # The step at which the agent was told that memory presses; '' if it was not, since the last compaction.
    Column("notice_step", String(64), nullable=False, server_default=""),
    Column("title", Text, nullable=False, server_default=""),
    Column("metadata", JSON),
    Column("forked_from_id", String(64), nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # The user of the account whose conversation it is, if the agent is shared; and since when it is no more.
    Column("guest_id", String(100)),
    Column("guest_until", BigInteger),
    Index("conversations_by_agent", "account_id", "user_id", "agent_id", "created_at", "id"),
    Index("conversations_by_guest", "account_id", "guest_id"),
)

# Not by owner: it is about processes, and holds nothing of any user.
replicas = Table(
    "replicas",
    metadata,
    Column("id", String(64), primary_key=True),
    # Where the other replicas reach it; '' until it serves.
    Column("address", String(300), nullable=False),
)

turns = Table(
    "turns",
    metadata,
    # Turns of a conversation run in this order.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("account_id", String(100), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("id", String(64), nullable=False),
    Column("agent_id", String(64), nullable=False),
    Column("conversation_id", String(64), nullable=False),
    Column("request_id", String(200), nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("state", Integer, nullable=False),
    # Whether recall has yet to acknowledge messages of this turn.
    Column("recall_pending", Boolean, nullable=False),
    # False in rows older than this column.
    Column("background", Boolean, nullable=False, server_default=false()),
    Column("attempt", Integer, nullable=False),
    # When it ended, as long as its journal has the words that recall has too; else null.
    Column("words_since", BigInteger),
    # triptych.agent.v1.StartTurnRequest, and triptych.agent.v1.Turn as it stands
    Column("request", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("account_id", "user_id", "id", name="turns_by_id"),
    UniqueConstraint("account_id", "user_id", "agent_id", "request_id", name="turns_by_request"),
    Index("turns_by_agent", "account_id", "user_id", "agent_id", "position"),
    Index("turns_by_conversation", "account_id", "user_id", "conversation_id", "position"),
    sqlite_autoincrement=True,
)
# Few rows at any time: what a restart has to take up again.
Index(
    "turns_unfinished",
    turns.c.position,
    sqlite_where=turns.c.state.in_((1, 2, 6)) | turns.c.recall_pending,
    postgresql_where=turns.c.state.in_((1, 2, 6)) | turns.c.recall_pending,
)
Index(
    "turns_with_words",
    turns.c.words_since,
    sqlite_where=turns.c.words_since.is_not(None),
    postgresql_where=turns.c.words_since.is_not(None),
)

journal = Table(
    "journal",
    metadata,
    *_owner(),
    Column("turn_id", String(64), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    # triptych.agent.v1.TurnEvent
    Column("event", LargeBinary, nullable=False),
)

tools = Table(
    "tools",
    metadata,
    *_owner(),
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
    *_owner(),
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
    *_owner(),
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

identities = Table(
    "identities",
    metadata,
    *_owner(),
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
    *_owner(),
    Column("resource_id", String(64), primary_key=True),
    Column("identity_id", String(64), primary_key=True),
    Index("identity_links_by_identity", "account_id", "user_id", "identity_id"),
)

# What was answered to a write, so that its replay gets the same.
requests = Table(
    "requests",
    metadata,
    *_owner(),
    Column("request_id", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# Conversations that sleep-time memory reads.
sleeps = Table(
    "sleeps",
    metadata,
    *_owner(),
    Column("conversation_id", String(64), primary_key=True),
    Column("agent_id", String(64), nullable=False),
    # Turns since it was last read.
    Column("turns", Integer, nullable=False),
    # When it is to be read; null: there is nothing new.
    Column("due_at", BigInteger),
    # What was said before is not read.
    Column("since", BigInteger, nullable=False),
    # The last message that was read, by its sequence number.
    Column("read_through", BigInteger, nullable=False),
    # Readings in a row that failed.
    Column("failures", Integer, nullable=False),
    Index("sleeps_due", "due_at"),
)

sleep_runs = Table(
    "sleep_runs",
    metadata,
    *_owner(),
    Column("turn_id", String(64), primary_key=True),
    Column("agent_id", String(64), nullable=False),
    # The conversation that is read.
    Column("conversation_id", String(64), nullable=False),
    # What had been read before.
    Column("read_from", BigInteger, nullable=False),
    # Ids of the messages that are read, by their numbers in the transcript.
    Column("sources", JSON, nullable=False),
)

# What a deleted agent leaves to be purged in the other tiers.
cleanups = Table(
    "cleanups",
    metadata,
    *_owner(),
    Column("agent_id", String(64), primary_key=True),
    Column("archive_id", String(64), nullable=False),
)

# What a deleted conversation leaves to be purged in recall.
conversation_cleanups = Table(
    "conversation_cleanups",
    metadata,
    *_owner(),
    Column("conversation_id", String(64), primary_key=True),
)

# A model call: what it cost, and what its request was made of.
steps = Table(
    "steps",
    metadata,
    *_owner(),
    Column("id", String(64), primary_key=True),
    Column("agent_id", String(64), nullable=False),
    Column("conversation_id", String(64), nullable=False),
    Column("turn_id", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # triptych.agent.v1.Step
    Column("body", LargeBinary, nullable=False),
    # agent_service.stores.steps.Reference
    Column("reference", JSON, nullable=False),
    Index("steps_by_agent", "account_id", "user_id", "agent_id", "created_at", "id"),
    Index("steps_by_turn", "account_id", "user_id", "turn_id", "created_at", "id"),
)

# Parts of requests, each once however many steps sent it: instructions, blocks and tools for the agent, summaries for
# the conversation.
step_texts = Table(
    "step_texts",
    metadata,
    *_owner(),
    Column("agent_id", String(64), primary_key=True),
    # '' for what all the agent's conversations share
    Column("conversation_id", String(64), primary_key=True),
    # SHA-256 of the text, hex
    Column("hash", String(64), primary_key=True),
    # UTF-8, compressed by zlib
    Column("text", LargeBinary, nullable=False),
)
