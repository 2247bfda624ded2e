"""Conversations, their turns, and what each model call was made of."""

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
    false,
)

from agent_service.stores.tables.base import metadata, owner

conversations = Table(
    "conversations",
    metadata,
    *owner(),
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
    # By a program: not the one that comes with an agent, nor that of its sleep time.
    Column("made", Boolean, nullable=False, server_default=false()),
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
    *owner(),
    Column("turn_id", String(64), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    # triptych.agent.v1.TurnEvent
    Column("event", LargeBinary, nullable=False),
)

# What was answered to a write, so that its replay gets the same.
requests = Table(
    "requests",
    metadata,
    *owner(),
    Column("request_id", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# A model call: what it cost, and what its request was made of.
steps = Table(
    "steps",
    metadata,
    *owner(),
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
    *owner(),
    Column("agent_id", String(64), primary_key=True),
    # '' for what all the agent's conversations share
    Column("conversation_id", String(64), primary_key=True),
    # SHA-256 of the text, hex
    Column("hash", String(64), primary_key=True),
    # UTF-8, compressed by zlib
    Column("text", LargeBinary, nullable=False),
)
