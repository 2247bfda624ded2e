"""Steps and what their requests were made of; when an agent was told that memory presses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
    )


def upgrade() -> None:
    op.add_column("conversations", sa.Column("notice_step", sa.String(64), nullable=False, server_default=""))
    op.create_table(
        "steps",
        *_owner(),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.String(64), nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("turn_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("reference", sa.JSON, nullable=False),
    )
    op.create_index("steps_by_agent", "steps", ["account_id", "user_id", "agent_id", "created_at", "id"])
    op.create_index("steps_by_turn", "steps", ["account_id", "user_id", "turn_id", "created_at", "id"])
    op.create_table(
        "step_texts",
        *_owner(),
        sa.Column("agent_id", sa.String(64), primary_key=True),
        sa.Column("conversation_id", sa.String(64), primary_key=True),
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("text", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("step_texts")
    op.drop_table("steps")
    op.drop_column("conversations", "notice_step")
