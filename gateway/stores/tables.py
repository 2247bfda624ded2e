"""The tables. Times are microseconds since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("request_id", String(200), unique=True),
    Column("created_at", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("account_id", String(100), nullable=False),
    Column("name", Text, nullable=False),
    Column("request_id", String(200)),
    Column("created_at", BigInteger, nullable=False),
    # `key`: what the row is read by.
    Column("metadata", JSON, key="notes"),
    Column("disabled_at", BigInteger),
    UniqueConstraint("account_id", "name", name="users_by_name"),
    UniqueConstraint("account_id", "request_id", name="users_by_request"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("account_id", String(100), nullable=False),
    # HMAC, by the server's secret, of the SHA-256 of the key's secret.
    Column("digest", String(64), nullable=False, unique=True),
    # False: of a version that kept the SHA-256 alone. The next start makes the HMAC of it.
    Column("keyed", Boolean, nullable=False),
    Column("prefix", String(20), nullable=False),
    Column("kind", Integer, nullable=False),
    Column("scope", Integer, nullable=False),
    # Null for an application key.
    Column("user_id", String(100)),
    Column("name", Text, nullable=False),
    Column("request_id", String(200)),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    # The secret before a rotation, and until when it is valid.
    Column("previous_digest", String(64), unique=True),
    Column("previous_until", BigInteger),
    Column("rotation_request_id", String(200)),
    UniqueConstraint("account_id", "request_id", name="keys_by_request"),
    Index("keys_by_account", "account_id", "created_at", "id"),
    Index("keys_by_user", "account_id", "user_id"),
)

# One row: by which a start with another secret than the store's keys were made with is noticed.
secret_check = Table(
    "secret_check",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
)

# A row of the empty user holds for each user of the account that has none of its own. 0: not set.
limits = Table(
    "limits",
    metadata,
    Column("account_id", String(100), primary_key=True),
    Column("user_id", String(100), primary_key=True),
    Column("requests_per_second", Float, nullable=False),
    Column("live_turns", Integer, nullable=False),
    Column("tokens_per_day", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("account_id", String(100), primary_key=True),
    Column("user_id", String(100), primary_key=True),
    # Days since 1970, UTC.
    Column("day", Integer, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    # By how much what is kept has grown on that day.
    Column("bytes", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("account_id", String(100), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("key_id", String(100), nullable=False),
    Column("action", Text, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("digest", String(64), nullable=False),
    Index("audit_by_user", "account_id", "user_id", "sequence"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("account_id", String(100), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Null while it is under way.
    Column("ended_at", BigInteger),
    # Null until what calls that were under way have written behind it is removed too.
    Column("swept_at", BigInteger),
    # Rows removed, by tier and kind.
    Column("removed", JSON, nullable=False),
    UniqueConstraint("account_id", "user_id", name="erasures_by_user"),
)

# Many turns that are to be run in the background.
batches = Table(
    "batches",
    metadata,
    Column("account_id", String(100), primary_key=True),
    Column("user_id", String(100), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    # Null while it is under way.
    Column("ended_at", BigInteger),
    Column("cancelled", Boolean, nullable=False),
    Column("request_id", String(200)),
    Column("request_hash", String(64), nullable=False),
    UniqueConstraint("account_id", "user_id", "request_id", name="batches_by_request"),
    Index("batches_by_time", "account_id", "user_id", "created_at", "id"),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("account_id", String(100), primary_key=True),
    Column("user_id", String(100), primary_key=True),
    Column("batch_id", String(64), primary_key=True),
    # In the order in which they were given, from 0.
    Column("position", Integer, primary_key=True),
    Column("agent_id", String(64), nullable=False),
    # gateway.stores.batches.State
    Column("state", Integer, nullable=False),
    # triptych.agent.v1.StartTurnRequest, until the turn is accepted: from then on agent_service has what was said.
    Column("start", LargeBinary),
    Column("turn_id", String(64)),
)

groups = Table(
    "groups",
    metadata,
    Column("account_id", String(100), primary_key=True),
    Column("user_id", String(100), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("manager_type", String(20), nullable=False),
    # Those of gateway.stores.groups.Group that are neither searched nor compared.
    Column("settings", JSON, nullable=False),
    Column("request_id", String(200)),
    UniqueConstraint("account_id", "user_id", "request_id", name="groups_by_request"),
    Index("groups_by_time", "account_id", "user_id", "created_at", "id"),
)


def _of_group() -> tuple[Column[str], Column[str], Column[str]]:
    return (
        Column("account_id", String(100), primary_key=True),
        Column("user_id", String(100), primary_key=True),
        Column("group_id", String(64), primary_key=True),
    )


# Who is in a group, its manager too, and the conversation that each has for it.
group_members = Table(
    "group_members",
    metadata,
    *_of_group(),
    Column("agent_id", String(64), primary_key=True),
    # -1: the manager, who is not one of those it manages.
    Column("position", Integer, nullable=False),
    Column("conversation_id", String(64), nullable=False),
)

# What was sent to a group: 1, 2, 3, …
group_messages = Table(
    "group_messages",
    metadata,
    *_of_group(),
    Column("sequence", Integer, primary_key=True),
    Column("request_id", String(200), nullable=False),
    # How many messages it was.
    Column("inputs", Integer, nullable=False),
    UniqueConstraint("account_id", "user_id", "group_id", "request_id", name="group_messages_by_request"),
)

# The turns that were run for it, in the order in which they began.
group_turns = Table(
    "group_turns",
    metadata,
    *_of_group(),
    Column("sequence", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    # Which turn of those it takes: a replay finds it by that.
    Column("key", String(64), nullable=False),
    Column("agent_id", String(64), nullable=False),
    Column("turn_id", String(64), nullable=False),
)

# Requests whose effect does not tell by itself that they were carried out: see gateway.stores.requests.
requests = Table(
    "requests",
    metadata,
    Column("account_id", String(100), primary_key=True),
    Column("user_id", String(100), primary_key=True),
    Column("method", String(100), primary_key=True),
    Column("request_id", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # What it was answered; null where that can be told anew.
    Column("response", LargeBinary),
)
