"""What a request was answered, where it can't be told by itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("requests", sa.Column("response", sa.LargeBinary))


def downgrade() -> None:
    op.drop_column("requests", "response")
