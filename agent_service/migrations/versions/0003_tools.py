"""Users' own tools and MCP servers; turns that wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
    )


def upgrade() -> None:
    op.create_table(
        "tools",
        *_owner(),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("tool_type", sa.Integer, nullable=False),
        sa.Column("mcp_server_id", sa.String(64)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "name", name="tools_by_name"),
    )
    op.create_index("tools_by_time", "tools", ["account_id", "user_id", "created_at", "id"])
    op.create_table(
        "mcp_servers",
        *_owner(),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "name", name="mcp_servers_by_name"),
    )
    op.create_index("mcp_servers_by_time", "mcp_servers", ["account_id", "user_id", "created_at", "id"])
    _index_unfinished("state IN (1, 2, 6) OR recall_pending")


def _index_unfinished(which: str) -> None:
    """Turns that wait are unfinished too."""
    op.drop_index("turns_unfinished", "turns")
    op.create_index(
        "turns_unfinished", "turns", ["position"], sqlite_where=sa.text(which), postgresql_where=sa.text(which)
    )


def downgrade() -> None:
    _index_unfinished("state IN (1, 2) OR recall_pending")
    op.drop_table("mcp_servers")
    op.drop_table("tools")
