"""Conversations of guests: users with whom an agent is shared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("guest_id", sa.String(100)))
    op.add_column("conversations", sa.Column("guest_until", sa.BigInteger))
    op.create_index("conversations_by_guest", "conversations", ["account_id", "guest_id"])


def downgrade() -> None:
    op.drop_index("conversations_by_guest", "conversations")
    op.drop_column("conversations", "guest_until")
    op.drop_column("conversations", "guest_id")
