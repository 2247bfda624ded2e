"""Accounts; scopes, expiry, rotation and last use of keys; limits, usage, the audit log and erasures."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    accounts = op.create_table(
        "accounts",
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("request_id", sa.String(200), unique=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    # The account that was the only one before.
    op.bulk_insert(accounts, [{"id": "default", "name": "default", "created_at": time.time_ns() // 1000}])
    _extend_users_and_keys()
    op.create_table(
        "secret_check",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    _create_metering()
    _create_records()


def _extend_users_and_keys() -> None:
    op.add_column("users", sa.Column("metadata", sa.JSON))
    op.add_column("users", sa.Column("disabled_at", sa.BigInteger))
    op.add_column("keys", sa.Column("scope", sa.Integer, nullable=False, server_default="0"))
    op.add_column("keys", sa.Column("keyed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("keys", sa.Column("expires_at", sa.BigInteger))
    op.add_column("keys", sa.Column("last_used_at", sa.BigInteger))
    op.add_column("keys", sa.Column("previous_digest", sa.String(64)))
    op.add_column("keys", sa.Column("previous_until", sa.BigInteger))
    op.add_column("keys", sa.Column("rotation_request_id", sa.String(200)))
    op.create_index("keys_by_previous_digest", "keys", ["previous_digest"], unique=True)
    op.create_index("keys_by_user", "keys", ["account_id", "user_id"])


def _create_records() -> None:
    op.create_table(
        "audit",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.String(100), nullable=False),
        sa.Column("key_id", sa.String(100), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("resources", sa.JSON, nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_index("audit_by_user", "audit", ["account_id", "user_id", "sequence"])
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("account_id", sa.String(100), nullable=False),
        sa.Column("user_id", sa.String(100), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("removed", sa.JSON, nullable=False),
        sa.UniqueConstraint("account_id", "user_id", name="erasures_by_user"),
    )


def _create_metering() -> None:
    op.create_table(
        "limits",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("requests_per_second", sa.Float, nullable=False),
        sa.Column("live_turns", sa.Integer, nullable=False),
        sa.Column("tokens_per_day", sa.BigInteger, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "usage",
        sa.Column("account_id", sa.String(100), primary_key=True),
        sa.Column("user_id", sa.String(100), primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("erasures", "audit", "usage", "limits", "secret_check", "accounts"):
        op.drop_table(table)
    op.drop_index("keys_by_user", "keys")
    op.drop_index("keys_by_previous_digest", "keys")
    for column in (
        "rotation_request_id",
        "previous_until",
        "previous_digest",
        "last_used_at",
        "expires_at",
        "keyed",
        "scope",
    ):
        op.drop_column("keys", column)
    op.drop_column("users", "disabled_at")
    op.drop_column("users", "metadata")
