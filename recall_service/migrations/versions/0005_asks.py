"""Of each message whether it asks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recall_service.stores.asking import note

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("asks", sa.Integer, nullable=False, server_default="0"))
    note(op.get_bind())


def downgrade() -> None:
    op.drop_column("messages", "asks")
