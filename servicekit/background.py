"""Work behind the calls. Whatever fails in it is logged and tried again, and ends nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from servicekit import rpc

_log = structlog.get_logger("background")


async def went_well(work: Awaitable[bool | None], otherwise: str) -> bool:
    """Whether `work` neither raised nor answered false. If it raised, the log says `otherwise` and why."""
    try:
        return await work is not False
    except Exception as error:  # what nobody foresaw too: it must not end a loop for good
        known = rpc.to_error(error)
        _log.warning(otherwise, reason=known.reason_name, problem=known.message)
        return False


async def until_well(work: Callable[[], Awaitable[bool | None]], otherwise: str, pause_seconds: float) -> None:
    """Does `work` again and again, with pauses, until it goes well."""
    while True:
        if await went_well(work(), otherwise):
            return
        await asyncio.sleep(pause_seconds)
