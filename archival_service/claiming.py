"""Work that one of several replicas does, for all of them: whoever has claimed it in the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection

from archival_service.stores import vectors
from servicekit.sql import Database

# A replica that works says so again and again; one that has died is believed for so long.
CLAIM_SECONDS = 15.0
# How often those look that would do it instead.
POLL_SECONDS = 1.0


async def claim(sql: Database, work: str) -> bool:
    """Whether it is this replica that does it; then `holding` has to follow."""
    return await sql.write(lambda c: _claim(c, work))


@asynccontextmanager
async def holding(sql: Database, work: str) -> AsyncIterator[None]:
    """Keeps a claim, and gives it up at the end."""
    keeping = asyncio.get_running_loop().create_task(_keep(sql, work))
    try:
        yield
    finally:
        keeping.cancel()
        await sql.write(lambda c: vectors.set_setting(c, work, ""))


def _claim(connection: Connection, work: str) -> bool:
    if float(vectors.setting(connection, work) or 0) > time.time():
        return False
    _renew(connection, work)
    return True


def _renew(connection: Connection, work: str) -> None:
    vectors.set_setting(connection, work, str(time.time() + CLAIM_SECONDS))


async def _keep(sql: Database, work: str) -> None:
    while True:
        await asyncio.sleep(CLAIM_SECONDS / 3)
        await sql.write(lambda c: _renew(c, work))
