"""Whether what was written behind an erasure is removed too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("erasures", sa.Column("swept_at", sa.BigInteger))
    # Their calls are long over.
    op.execute("UPDATE erasures SET swept_at = ended_at")


def downgrade() -> None:
    op.drop_column("erasures", "swept_at")
