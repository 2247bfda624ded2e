"""Waiting between two tries."""

from __future__ import annotations

import asyncio


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)
