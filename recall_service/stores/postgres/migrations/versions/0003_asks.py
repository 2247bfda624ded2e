"""Of each message whether it asks."""

from __future__ import annotations

from alembic import op

from recall_service.stores.asking import note

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE messages ADD COLUMN asks int NOT NULL DEFAULT 0")
    note(op.get_bind())


def downgrade() -> None:
    op.execute("ALTER TABLE messages DROP COLUMN asks")
