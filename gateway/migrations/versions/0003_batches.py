"""Batches: many turns that are to be run in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("request_id", sa.String(200)),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "request_id", name="batches_by_request"),
    )
    op.create_index("batches_by_time", "batches", ["account_id", "user_id", "created_at", "id"])
    op.create_table(
        "batch_items",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("batch_id", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("agent_id", sa.String(64), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("start", sa.LargeBinary),
        sa.Column("turn_id", sa.String(64)),
    )


def downgrade() -> None:
    op.drop_table("batch_items")
    op.drop_table("batches")
