"""Documents, and where in them a passage stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("passages", sa.Column("document_id", sa.String(100), nullable=False, server_default=""))
    op.add_column("passages", sa.Column("file_name", sa.Text, nullable=False, server_default=""))
    op.add_column("passages", sa.Column("source", sa.JSON, nullable=True))
    op.create_index("passages_by_document", "passages", ["account_id", "user_id", "document_id", "n"])
    op.create_table(
        "documents",
        sa.Column("account_id", sa.String(100), primary_key=True, nullable=False),
        sa.Column("user_id", sa.String(100), primary_key=True, nullable=False),
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("archive_id", sa.String(100), nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("media_type", sa.String(200), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("passage_count", sa.Integer, nullable=False),
        sa.Column("characters", sa.BigInteger, nullable=False),
        sa.Column("pages", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("documents_by_time", "documents", ["account_id", "user_id", "created_at", "id"])
    op.create_index("documents_by_archive", "documents", ["account_id", "user_id", "archive_id"])


def downgrade() -> None:
    op.drop_table("documents")
    op.drop_index("passages_by_document", "passages")
    for column in ("source", "file_name", "document_id"):
        op.drop_column("passages", column)
