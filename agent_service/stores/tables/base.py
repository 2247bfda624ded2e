"""What the tables share."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, String

metadata = MetaData()


def owner() -> tuple[Column[str], Column[str]]:
    """The first columns of a table's key."""
    return Column("account_id", String(100), primary_key=True), Column("user_id", String(100), primary_key=True)
