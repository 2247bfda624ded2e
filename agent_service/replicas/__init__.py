"""Several processes that run turns on one store: who is there, and how calls reach the one that has a conversation."""
