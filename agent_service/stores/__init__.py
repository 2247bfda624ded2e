"""SQL of agent_service: one module a subject, sync functions over a connection that the store runs in a transaction."""
