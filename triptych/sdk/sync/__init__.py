# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""The synchronous SDK."""
