"""The tables. Times are microseconds since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("account_id", String(100), nullable=False),
    Column("name", Text, nullable=False),
    Column("request_id", String(200)),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "name", name="users_by_name"),
    UniqueConstraint("account_id", "request_id", name="users_by_request"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("account_id", String(100), nullable=False),
    # SHA-256 of the secret. A secret has 256 random bits, so a slow hash would add nothing but time.
    Column("digest", String(64), nullable=False, unique=True),
    Column("prefix", String(20), nullable=False),
    Column("kind", Integer, nullable=False),
    # Null for an application key.
    Column("user_id", String(100)),
    Column("name", Text, nullable=False),
    Column("request_id", String(200)),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    UniqueConstraint("account_id", "request_id", name="keys_by_request"),
    Index("keys_by_account", "account_id", "created_at", "id"),
)
