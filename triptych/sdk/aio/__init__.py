"""The asynchronous SDK."""
