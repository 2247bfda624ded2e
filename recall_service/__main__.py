"""python -m recall_service [--supervised] | migrate"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack

from recall_service.config import Settings
from recall_service.server import NAME, start
from recall_service.store import open_store
from servicekit import logs
from servicekit.server import run
from servicekit.settings import Environment


async def _serve(_stop: asyncio.Event, stack: AsyncExitStack) -> None:
    settings = Settings.read(Environment())
    logs.configure(NAME, level=settings.running.log_level, fmt=settings.running.log_format)
    await start(settings, stack)


async def _migrate(stop: asyncio.Event, stack: AsyncExitStack) -> None:
    stack.push_async_callback(open_store(Environment().text("TRIPTYCH_RECALL_DSN")).close)
    stop.set()


def main() -> None:
    parser = argparse.ArgumentParser(
        NAME, description="Recall memory: every message ever. Settings: the environment, see docs/configuration.md."
    )
    parser.add_argument("command", nargs="?", choices=["serve", "migrate"], default="serve")
    parser.add_argument("--supervised", action="store_true", help="stop when stdin ends")
    run(NAME, _migrate if parser.parse_args().command == "migrate" else _serve)


if __name__ == "__main__":
    main()
