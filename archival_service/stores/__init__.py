"""SQL is the truth (archives, passages, inserting, outbox), Qdrant Edge the index (edge); `indexed` joins them."""
