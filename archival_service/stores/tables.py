"""The tables. Keys begin with the owner. Times are microseconds since 1970, UTC."""

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
)

metadata = MetaData()
# SQLite counts up by itself in a column of this type alone.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")


def _owner(*, key: bool = True) -> tuple[Column[str], Column[str]]:
    return (
        Column("account_id", String(100), primary_key=key, nullable=False),
        Column("user_id", String(100), primary_key=key, nullable=False),
    )


archives = Table(
    "archives",
    metadata,
    *_owner(),
    Column("id", String(100), primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("archives_by_time", "account_id", "user_id", "created_at", "id"),
)

passages = Table(
    "passages",
    metadata,
    # The order of arrival, and the passage's id in the index.
    Column("n", _NUMBER, primary_key=True, autoincrement=True),
    *_owner(key=False),
    Column("id", String(100), nullable=False),
    Column("archive_id", String(100), nullable=False),
    Column("text", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # float16, little-endian: enough to rebuild the index without embedding anything again
    Column("vector", LargeBinary, nullable=False),
    # Where it comes from. '' and null for what comes from no file.
    Column("document_id", String(100), nullable=False, server_default=""),
    Column("file_name", Text, nullable=False, server_default=""),
    Column("source", JSON(none_as_null=True), nullable=True),
    UniqueConstraint("account_id", "user_id", "id", name="passages_by_id"),
    Index("passages_by_archive", "account_id", "user_id", "archive_id", "n"),
    Index("passages_by_document", "account_id", "user_id", "document_id", "n"),
    sqlite_autoincrement=True,
)

# Files that were taken in. `fingerprint`: of what decides its passages; a half-added one goes on only with the same.
documents = Table(
    "documents",
    metadata,
    *_owner(),
    Column("id", String(100), primary_key=True),
    Column("archive_id", String(100), nullable=False),
    Column("file_name", Text, nullable=False),
    Column("media_type", String(200), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("passage_count", Integer, nullable=False),
    Column("characters", BigInteger, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("documents_by_time", "account_id", "user_id", "created_at", "id"),
    Index("documents_by_archive", "account_id", "user_id", "archive_id"),
)

# Which passage has made which untrue.
replacements = Table(
    "replacements",
    metadata,
    *_owner(),
    Column("old_id", String(100), primary_key=True),
    Column("new_id", String(100), primary_key=True),
)

inserts = Table(
    "inserts",
    metadata,
    *_owner(),
    Column("archive_id", String(100), primary_key=True),
    Column("request_id", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("passage_ids", JSON, nullable=False),
)

# What was answered to a `request_id`, but for inserts.
requests = Table(
    "requests",
    metadata,
    *_owner(),
    Column("request_id", String(200), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("result", String(100), nullable=False),
)

fences = Table(
    "fences",
    metadata,
    *_owner(),
    Column("scope", String(200), primary_key=True),
    Column("token", BigInteger, nullable=False),
)

# Passages of which the index may not have heard for good: written (or deleted, if there is no such passage any more).
outbox = Table(
    "outbox",
    metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("n", _NUMBER, nullable=False, index=True),
    # Microseconds since 1970.
    Column("since", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

settings = Table(
    "settings", metadata, Column("name", String(50), primary_key=True), Column("value", Text, nullable=False)
)
