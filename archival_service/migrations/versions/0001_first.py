"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _owner(*, key: bool = True) -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("account_id", sa.String(100), primary_key=key, nullable=False),
        sa.Column("user_id", sa.String(100), primary_key=key, nullable=False),
    )


def upgrade() -> None:
    op.create_table(
        "archives",
        *_owner(),
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("archives_by_time", "archives", ["account_id", "user_id", "created_at", "id"])
    op.create_table(
        "passages",
        sa.Column("n", _NUMBER, primary_key=True, autoincrement=True),
        *_owner(key=False),
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("archive_id", sa.String(100), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "id", name="passages_by_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("passages_by_archive", "passages", ["account_id", "user_id", "archive_id", "n"])
    op.create_table(
        "inserts",
        *_owner(),
        sa.Column("archive_id", sa.String(100), primary_key=True),
        sa.Column("request_id", sa.String(200), primary_key=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("passage_ids", sa.JSON, nullable=False),
    )
    op.create_table(
        "requests",
        *_owner(),
        sa.Column("request_id", sa.String(200), primary_key=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("result", sa.String(100), nullable=False),
    )
    op.create_table(
        "fences",
        *_owner(),
        sa.Column("scope", sa.String(200), primary_key=True),
        sa.Column("token", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("n", _NUMBER, nullable=False, index=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "settings", sa.Column("name", sa.String(50), primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )


def downgrade() -> None:
    for table in ("settings", "outbox", "fences", "requests", "inserts", "passages", "archives"):
        op.drop_table(table)
