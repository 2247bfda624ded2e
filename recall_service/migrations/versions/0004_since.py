"""What waits to be embedded says since when: a message's own time may be that of long ago."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pending", sa.Column("since", sa.BigInteger, nullable=False, server_default="0"))
    # What waits by now has waited since the upgrade, as far as anybody can tell.
    op.execute("UPDATE pending SET since = CAST(strftime('%s', 'now') AS INTEGER) * 1000000")


def downgrade() -> None:
    op.drop_column("pending", "since")
