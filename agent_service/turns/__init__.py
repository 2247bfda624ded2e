"""One turn, durably: accepted, run step by step, journalled, and sent to whoever listens."""
