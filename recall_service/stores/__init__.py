"""SQL of recall_service: sync functions over a connection that the store runs in a transaction."""
