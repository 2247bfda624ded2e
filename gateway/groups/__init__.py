"""Groups: agents that answer one message together. Each has a conversation of its own for the group."""
