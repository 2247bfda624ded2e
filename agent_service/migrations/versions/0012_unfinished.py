"""The index of unfinished turns, as SQLite's statements ask for them: with other words it is not used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    _index_unfinished("state IN (1, 2, 6) OR recall_pending = 1")


def downgrade() -> None:
    _index_unfinished("state IN (1, 2, 6) OR recall_pending")


def _index_unfinished(which: str) -> None:
    if op.get_bind().dialect.name != "sqlite":  # elsewhere there are truth values, and no number is one
        return
    op.drop_index("turns_unfinished", "turns")
    op.create_index("turns_unfinished", "turns", ["position"], sqlite_where=sa.text(which))
