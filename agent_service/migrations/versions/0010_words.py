"""When the journals of turns that have ended let go of the words that recall has too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("turns", sa.Column("words_since", sa.BigInteger))
    turns = sa.table("turns", sa.column("state", sa.Integer), sa.column("words_since", sa.BigInteger))
    # Those that are not over: queued, running, waiting.
    op.execute(turns.update().where(turns.c.state.not_in((1, 2, 6))).values(words_since=0))
    has_words = sa.text("words_since IS NOT NULL")
    op.create_index("turns_with_words", "turns", ["words_since"], sqlite_where=has_words, postgresql_where=has_words)


def downgrade() -> None:
    op.drop_index("turns_with_words", "turns")
    op.drop_column("turns", "words_since")
