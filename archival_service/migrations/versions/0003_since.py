"""Changes of which the index has not heard for good say since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("since", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("outbox", "since")
