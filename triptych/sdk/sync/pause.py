# Generated from triptych/sdk/aio by scripts/generate_sync.py: change it there.
"""Waiting between two tries."""

from __future__ import annotations

import time


def pause(seconds: float) -> None:
    time.sleep(seconds)
