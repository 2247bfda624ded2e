"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
    )


def upgrade() -> None:
    op.create_table(
        "agents",
        *_owner(),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("last_turn_at", sa.BigInteger),
    )
    op.create_index("agents_by_time", "agents", ["account_id", "user_id", "created_at", "id"])
    op.create_table(
        "blocks",
        *_owner(),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.String(64)),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("character_limit", sa.Integer, nullable=False),
        sa.Column("read_only", sa.Boolean, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("blocks_by_time", "blocks", ["account_id", "user_id", "created_at", "id"])
    op.create_table(
        "agent_blocks",
        *_owner(),
        sa.Column("agent_id", sa.String(64), primary_key=True),
        sa.Column("block_id", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.create_index("agent_blocks_by_block", "agent_blocks", ["account_id", "user_id", "block_id"])
    op.create_table(
        "block_revisions",
        *_owner(),
        sa.Column("block_id", sa.String(64), primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "conversations",
        *_owner(),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.String(64), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("window_start", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "conversations_by_agent", "conversations", ["account_id", "user_id", "agent_id", "created_at", "id"]
    )
    _create_turns()
    op.create_table(
        "requests",
        *_owner(),
        sa.Column("request_id", sa.String(200), primary_key=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cleanups",
        *_owner(),
        sa.Column("agent_id", sa.String(64), primary_key=True),
        sa.Column("archive_id", sa.String(64), nullable=False),
    )


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("account_id", sa.String(100), nullable=False),
        sa.Column("user_id", sa.String(100), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("agent_id", sa.String(64), nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(200), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("recall_pending", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "id", name="turns_by_id"),
        sa.UniqueConstraint("account_id", "user_id", "agent_id", "request_id", name="turns_by_request"),
        sqlite_autoincrement=True,
    )
    op.create_index("turns_by_agent", "turns", ["account_id", "user_id", "agent_id", "position"])
    op.create_index("turns_by_conversation", "turns", ["account_id", "user_id", "conversation_id", "position"])
    unfinished = sa.text("state IN (1, 2) OR recall_pending")
    op.create_index("turns_unfinished", "turns", ["position"], sqlite_where=unfinished, postgresql_where=unfinished)
    op.create_table(
        "journal",
        *_owner(),
        sa.Column("turn_id", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("event", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in (
        "cleanups",
        "requests",
        "journal",
        "turns",
        "conversations",
        "block_revisions",
        "agent_blocks",
        "blocks",
        "agents",
    ):
        op.drop_table(table)
