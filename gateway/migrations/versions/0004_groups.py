"""Groups of agents: who is in them, and which turns were run for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _owner() -> tuple[sa.Column[str], sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("group_id", sa.String(64), primary_key=True),
    )


def upgrade() -> None:
    op.create_table(
        "groups",
        *_owner()[:2],
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("manager_type", sa.String(20), nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("request_id", sa.String(200)),
        sa.UniqueConstraint("account_id", "user_id", "request_id", name="groups_by_request"),
    )
    op.create_index("groups_by_time", "groups", ["account_id", "user_id", "created_at", "id"])
    op.create_table(
        "group_members",
        *_owner(),
        sa.Column("agent_id", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
    )
    op.create_table(
        "group_messages",
        *_owner(),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("request_id", sa.String(200), nullable=False),
        sa.Column("inputs", sa.Integer, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "group_id", "request_id", name="group_messages_by_request"),
    )
    op.create_table(
        "group_turns",
        *_owner(),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("agent_id", sa.String(64), nullable=False),
        sa.Column("turn_id", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    for table in ("group_turns", "group_messages", "group_members", "groups"):
        op.drop_table(table)
