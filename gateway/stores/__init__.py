"""SQL of the gateway: sync functions over a connection that the store runs in a transaction."""
