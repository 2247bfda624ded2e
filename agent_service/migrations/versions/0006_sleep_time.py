"""What sleep-time memory has read, and what it has to read next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sleeps",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("conversation_id", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.String(64), nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("read_through", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
    )
    op.create_index("sleeps_due", "sleeps", ["due_at"])
    op.create_table(
        "sleep_runs",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("turn_id", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.String(64), nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("read_from", sa.BigInteger, nullable=False),
        sa.Column("sources", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("sleep_runs")
    op.drop_table("sleeps")
