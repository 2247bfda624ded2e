"""Every row that is an agent's says so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OWNER = "of.account_id = {0}.account_id AND of.user_id = {0}.user_id"


def upgrade() -> None:
    for table, source, key, its_key in (
        ("appends", "conversations", "conversation_id", "id"),
        ("revisions", "messages", "message_id", "id"),
    ):
        op.add_column(table, sa.Column("agent_id", sa.String(100), nullable=False, server_default=""))
        op.execute(
            f"UPDATE {table} SET agent_id = coalesce((SELECT of.agent_id FROM {source} AS of "
            f"WHERE {_OWNER.format(table)} AND of.{its_key} = {table}.{key}), '')"
        )


def downgrade() -> None:
    for table in ("appends", "revisions"):
        op.drop_column(table, "agent_id")
