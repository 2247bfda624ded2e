"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("account_id", sa.String(100), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("request_id", sa.String(200)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("account_id", "name", name="users_by_name"),
        sa.UniqueConstraint("account_id", "request_id", name="users_by_request"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("account_id", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("prefix", sa.String(20), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("user_id", sa.String(100)),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("request_id", sa.String(200)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.UniqueConstraint("account_id", "request_id", name="keys_by_request"),
    )
    op.create_index("keys_by_account", "keys", ["account_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_table("keys")
    op.drop_table("users")
