"""What is done behind the turns: sleep-time memory, and what a deletion leaves to be purged."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table

from agent_service.stores.tables.base import metadata, owner

# Conversations that sleep-time memory reads.
sleeps = Table(
    "sleeps",
    metadata,
    *owner(),
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
    *owner(),
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
    *owner(),
    Column("agent_id", String(64), primary_key=True),
    Column("archive_id", String(64), nullable=False),
)

# What a deleted conversation leaves to be purged in recall.
conversation_cleanups = Table(
    "conversation_cleanups",
    metadata,
    *owner(),
    Column("conversation_id", String(64), primary_key=True),
)
