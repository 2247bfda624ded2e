"""What people and models said has a scope word of its own, beside that of all messages."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TOOL = 4


def upgrade() -> None:
    op.execute(
        "UPDATE messages_fts SET scope = scope || ' s' || replace(scope, ' ', ' s') "
        f"WHERE rowid IN (SELECT n FROM messages WHERE role <> {_TOOL})"
    )


def downgrade() -> None:
    op.execute("UPDATE messages_fts SET scope = substr(scope, 1, instr(scope, ' s') - 1) WHERE instr(scope, ' s') > 0")
