"""Identities, and which agents and blocks have them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("identifier_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("type", sa.Integer, nullable=False),
        sa.Column("properties", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", "identifier_key", name="identities_by_key"),
    )
    op.create_index("identities_by_time", "identities", ["account_id", "user_id", "created_at", "id"])
    op.create_table(
        "identity_links",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("resource_id", sa.String(64), primary_key=True),
        sa.Column("identity_id", sa.String(64), primary_key=True),
    )
    op.create_index("identity_links_by_identity", "identity_links", ["account_id", "user_id", "identity_id"])


def downgrade() -> None:
    op.drop_table("identity_links")
    op.drop_table("identities")
