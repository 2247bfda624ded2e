"""What waits to be embedded says since when: a message's own time may be that of long ago."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"


def upgrade() -> None:
    op.execute(f"ALTER TABLE pending ADD COLUMN since bigint NOT NULL DEFAULT {_NOW}")


def downgrade() -> None:
    op.execute("ALTER TABLE pending DROP COLUMN since")
