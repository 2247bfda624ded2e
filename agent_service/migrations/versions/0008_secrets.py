"""Model providers; what MCP servers are sent to prove who the user is, encrypted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Filled when the service starts: migrations have no secret.
    op.add_column("mcp_servers", sa.Column("sealed", sa.LargeBinary))
    op.create_table(
        "model_providers",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "name", name="model_providers_by_name"),
    )
    op.create_index("model_providers_by_time", "model_providers", ["account_id", "user_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_table("model_providers")
    op.drop_column("mcp_servers", "sealed")
