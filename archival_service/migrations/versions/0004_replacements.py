"""Which passages another has made untrue, which until now the newer one's metadata alone said."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    made = op.create_table(
        "replacements",
        sa.Column("account_id", sa.String(100), primary_key=True, nullable=False),
        sa.Column("user_id", sa.String(100), primary_key=True, nullable=False),
        sa.Column("old_id", sa.String(100), primary_key=True),
        sa.Column("new_id", sa.String(100), primary_key=True),
    )
    passages = sa.table("passages", *map(sa.column, ("account_id", "user_id", "id", "metadata")))
    connection, text = op.get_bind(), sa.cast(passages.c.metadata, sa.Text)
    replacing = connection.execute(sa.select(*passages.c).where(text.like('%"replaces"%'))).all()
    for account_id, user_id, new_id, metadata in replacing:
        owner = {"account_id": account_id, "user_id": user_id}
        listed = (metadata if isinstance(metadata, dict) else json.loads(metadata)).get("replaces")
        for old_id in dict.fromkeys(listed if isinstance(listed, list) else ()):
            here = sa.and_(*(passages.c[name] == value for name, value in {**owner, "id": old_id}.items()))
            if isinstance(old_id, str) and connection.execute(sa.select(passages.c.id).where(here)).first():
                connection.execute(made.insert().values(**owner, old_id=old_id, new_id=new_id))


def downgrade() -> None:
    op.drop_table("replacements")
