"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _owner(*, key: bool = True) -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("account_id", sa.String(100), primary_key=key, nullable=False),
        sa.Column("user_id", sa.String(100), primary_key=key, nullable=False),
    )


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=True),
        *_owner(key=False),
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("agent_id", sa.String(100), nullable=False),
        sa.Column("conversation_id", sa.String(100), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "id", name="messages_by_id"),
        sa.UniqueConstraint("account_id", "user_id", "conversation_id", "sequence", name="messages_by_sequence"),
        sqlite_autoincrement=True,
    )
    op.create_index("messages_by_agent", "messages", ["account_id", "user_id", "agent_id", "n"])
    op.create_index("messages_by_agent_time", "messages", ["account_id", "user_id", "agent_id", "created_at", "n"])
    op.create_index("messages_by_time", "messages", ["account_id", "user_id", "created_at", "n"])
    op.create_table(
        "conversations",
        *_owner(),
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("agent_id", sa.String(100), nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "appends",
        *_owner(),
        sa.Column("conversation_id", sa.String(100), primary_key=True),
        sa.Column("request_id", sa.String(200), primary_key=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("first_sequence", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_table(
        "requests",
        *_owner(),
        sa.Column("request_id", sa.String(200), primary_key=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("message_id", sa.String(100), nullable=False),
        sa.Column("result", sa.BigInteger, nullable=False),
    )
    op.create_index("requests_by_message", "requests", ["account_id", "user_id", "message_id"])
    op.create_table(
        "revisions",
        *_owner(),
        sa.Column("message_id", sa.String(100), primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table("pending", sa.Column("n", sa.Integer, primary_key=True))
    op.create_table(
        "vectors",
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "settings", sa.Column("name", sa.String(50), primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.execute("CREATE VIRTUAL TABLE messages_fts USING fts5(scope, body, tokenize = 'porter unicode61')")


def downgrade() -> None:
    for table in (
        "messages_fts",
        "settings",
        "vectors",
        "pending",
        "revisions",
        "requests",
        "appends",
        "conversations",
        "messages",
    ):
        op.drop_table(table)
