"""The Python SDK: `aio` is written by hand, `sync` is generated from it by `scripts/generate_sync.py`."""
