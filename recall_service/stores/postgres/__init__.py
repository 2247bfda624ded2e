"""PostgreSQL's way of finding: a tsvector of each message under GIN, and its vector by pgvector."""

from recall_service.stores.postgres.index import PostgresIndex

__all__ = ["PostgresIndex"]
