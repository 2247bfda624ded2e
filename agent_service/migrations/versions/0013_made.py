"""Which conversations a program has made, beside those that come with an agent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from servicekit import ids

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_AT_ONCE = 500


def upgrade() -> None:
    op.add_column("conversations", sa.Column("made", sa.Boolean, nullable=False, server_default=sa.false()))
    table = sa.table(
        "conversations", sa.column("id", sa.String), sa.column("agent_id", sa.String), sa.column("made", sa.Boolean)
    )
    connection = op.get_bind()
    made = [
        row.id
        for row in connection.execute(sa.select(table.c.id, table.c.agent_id))
        if row.id not in (ids.derived("conv", row.agent_id), ids.derived("conv", row.agent_id, "sleep-time"))
    ]
    for first in range(0, len(made), _AT_ONCE):
        connection.execute(table.update().where(table.c.id.in_(made[first : first + _AT_ONCE])).values(made=True))


def downgrade() -> None:
    op.drop_column("conversations", "made")
