"""Who wrote a revision and from what; when an agent had a block; conversations' titles, forks and deletion."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ATTACHED_SINCE_MADE = """
    INSERT INTO block_attachments (account_id, user_id, agent_id, block_id, attached_at, position)
    SELECT a.account_id, a.user_id, a.agent_id, a.block_id, b.created_at, a.position
    FROM agent_blocks a
    JOIN blocks b ON b.account_id = a.account_id AND b.user_id = a.user_id AND b.id = a.block_id
"""


def _owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
    )


def upgrade() -> None:
    _add_columns()
    op.create_table(
        "block_attachments",
        *_owner(),
        sa.Column("agent_id", sa.String(64), primary_key=True),
        sa.Column("block_id", sa.String(64), primary_key=True),
        sa.Column("attached_at", sa.BigInteger, primary_key=True),
        sa.Column("detached_at", sa.BigInteger),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.create_index("block_attachments_by_block", "block_attachments", ["account_id", "user_id", "block_id"])
    op.execute(_ATTACHED_SINCE_MADE)
    op.create_table("conversation_cleanups", *_owner(), sa.Column("conversation_id", sa.String(64), primary_key=True))


def _add_columns() -> None:
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column)


def _added() -> dict[str, list[sa.Column[object]]]:
    return {
        "block_revisions": [
            sa.Column("agent_id", sa.String(64), nullable=False, server_default=""),
            sa.Column("label", sa.Text),
            sa.Column("undone_revision", sa.BigInteger, nullable=False, server_default="0"),
            sa.Column("sources", sa.JSON),
        ],
        "conversations": [
            sa.Column("title", sa.Text, nullable=False, server_default=""),
            sa.Column("metadata", sa.JSON),
            sa.Column("forked_from_id", sa.String(64), nullable=False, server_default=""),
        ],
    }


def downgrade() -> None:
    for table in ("conversation_cleanups", "block_attachments"):
        op.drop_table(table)
    for table, columns in _added().items():
        for column in columns:
            op.drop_column(table, column.name)
