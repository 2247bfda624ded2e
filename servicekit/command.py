"""The command line of every service: `python -m NAME [serve|migrate|vacuum] [--supervised]`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import NoReturn, Protocol

from servicekit import logs
from servicekit.server import run
from servicekit.settings import Environment, Running

Serve = Callable[[Environment, AsyncExitStack], Awaitable[None]]


class Store(Protocol):
    """What opening a store gives."""

    async def vacuum(self) -> None: ...

    async def close(self) -> None: ...


# What a service can do beside serving: a name, and a coroutine that does it.
Command = tuple[str, Callable[[Environment], Awaitable[None]]]


def main(
    name: str,
    description: str,
    serve: Serve,
    *,
    dsn_variable: str,
    open_store: Callable[[str], Store],
    more: Sequence[Command] = (),
) -> NoReturn:
    """Parses the arguments and runs what they ask for; never returns."""

    async def migrate(env: Environment) -> None:
        await open_store(env.text(dsn_variable)).close()

    async def vacuum(env: Environment) -> None:
        store = open_store(env.text(dsn_variable))
        await store.vacuum()
        await store.close()

    commands = dict([("migrate", migrate), ("vacuum", vacuum), *more])
    parser = argparse.ArgumentParser(
        f"python -m {name}", description=f"{description} Settings come from the environment: docs/configuration.md."
    )
    parser.add_argument("command", nargs="?", choices=["serve", *commands], default="serve")
    parser.add_argument("--supervised", action="store_true", help="stop when stdin ends")
    chosen = parser.parse_args().command

    async def started(stop: asyncio.Event, stack: AsyncExitStack) -> None:
        env = Environment()
        running = Running.read(env)
        logs.configure(name, level=running.log_level, fmt=running.log_format)
        if chosen == "serve":
            await serve(env, stack)
        else:
            await commands[chosen](env)
            stop.set()

    run(name, started)
