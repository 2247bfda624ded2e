"""Whose vectors the store has."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from recall_service.stores.index import MessageIndex
from recall_service.stores.tables import settings


def use(connection: Connection, index: MessageIndex, wanted: str) -> tuple[bool, bool]:
    """Notes the embedder `wanted`; says whether one was known, and whether it is the same. Another's vectors go."""
    known = connection.execute(select(settings.c.value).where(settings.c.name == "embedder")).scalar()
    if known != wanted:
        connection.execute(delete(settings).where(settings.c.name == "embedder"))
        connection.execute(insert(settings).values(name="embedder", value=wanted))
        index.forget_vectors(connection)
    return known is not None, known == wanted
