"""The tables. Keys begin with the owner. Times are microseconds since 1970, UTC.

Those that find messages are a backend's own. SQLite: `pending` and `vectors`, and `messages_fts` (FTS5), which is made
by the migration; its rowid is a message's `n`, and its column `scope` holds one word for the user and one for the
agent, so that a search intersects with the owner's rows before it ranks anything. PostgreSQL: `stores/postgres`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
)

from servicekit.principal import Tenant

metadata = MetaData()
# SQLite counts up by itself in a column of this type alone.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")


def _owner(*, key: bool = True) -> tuple[Column[str], Column[str]]:
    return (
        Column("account_id", String(100), primary_key=key, nullable=False),
        Column("user_id", String(100), primary_key=key, nullable=False),
    )


messages = Table(
    "messages",
    metadata,
    # The order of arrival.
    Column("n", _NUMBER, primary_key=True, autoincrement=True),
    *_owner(key=False),
    Column("id", String(100), nullable=False),
    Column("agent_id", String(100), nullable=False),
    Column("conversation_id", String(100), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("role", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # recall_service.questions.Asks
    Column("asks", Integer, nullable=False, server_default="0"),
    # triptych.recall.v1.Message
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("account_id", "user_id", "id", name="messages_by_id"),
    UniqueConstraint("account_id", "user_id", "conversation_id", "sequence", name="messages_by_sequence"),
    # For vectors that have come since the last search; for lists.
    Index("messages_by_agent", "account_id", "user_id", "agent_id", "n"),
    Index("messages_by_agent_time", "account_id", "user_id", "agent_id", "created_at", "n"),
    Index("messages_by_time", "account_id", "user_id", "created_at", "n"),
    sqlite_autoincrement=True,
)

conversations = Table(
    "conversations",
    metadata,
    *_owner(),
    Column("id", String(100), primary_key=True),
    Column("agent_id", String(100), nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    # The highest fence token seen.
    Column("fence", BigInteger, nullable=False),
)

appends = Table(
    "appends",
    metadata,
    *_owner(),
    Column("agent_id", String(100), nullable=False),
    Column("conversation_id", String(100), primary_key=True),
    Column("request_id", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
)

# What updates and purges have answered, by their request ids.
requests = Table(
    "requests",
    metadata,
    *_owner(),
    Column("request_id", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    # The message updated; empty for a purge.
    Column("message_id", String(100), nullable=False),
    # The revision that an update made, or how many messages a purge deleted.
    Column("result", BigInteger, nullable=False),
    Index("requests_by_message", "account_id", "user_id", "message_id"),
)

revisions = Table(
    "revisions",
    metadata,
    *_owner(),
    Column("agent_id", String(100), nullable=False),
    Column("message_id", String(100), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

# SQLite's outbox of the embedder: committed with the message, gone when its vector is there.
pending = Table(
    "pending",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("since", BigInteger, nullable=False),
)

# SQLite's.
vectors = Table(
    "vectors",
    metadata,
    Column("n", Integer, primary_key=True),
    # float16, little-endian
    Column("vector", LargeBinary, nullable=False),
)

settings = Table(
    "settings", metadata, Column("name", String(50), primary_key=True), Column("value", Text, nullable=False)
)


def owned(table: Table) -> ColumnElement[bool]:
    """That a row is the owner's, whose parameters `owner` gives: statements are built once, at import."""
    return and_(table.c.account_id == bindparam("owner_account"), table.c.user_id == bindparam("owner_user"))


def owner(tenant: Tenant, **more: Any) -> dict[str, Any]:
    """The parameters of `owned`, with others that the statement has."""
    return {"owner_account": tenant.account_id, "owner_user": tenant.user_id, **more}


def row(tenant: Tenant, **values: Any) -> dict[str, Any]:
    """The values of a new row of the owner's."""
    return {"account_id": tenant.account_id, "user_id": tenant.user_id, **values}
