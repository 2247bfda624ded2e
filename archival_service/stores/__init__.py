"""SQL is the truth (tables, archives, passages, outbox); Qdrant Edge is the index (edge)."""
