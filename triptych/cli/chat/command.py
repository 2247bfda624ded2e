"""The command `triptych chat`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from triptych.cli.chat.screen import Screen
from triptych.cli.chat.session import Session, find_or_create
from triptych.cli.connect import Address, ApiKey, Data, client

DEFAULT_AGENT = "companion"


def chat(
    agent: Annotated[str, typer.Option(help="The agent's name; made if there is none.")] = DEFAULT_AGENT,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Talk with an agent. It is found again next time, and remembers."""
    console = Console(highlight=False)
    screen = Screen(console)
    with client(data, address, api_key) as triptych:
        found, is_new = find_or_create(triptych, agent)
        said = triptych.recall.count(found.id)
        screen.note(f"{agent} is new." if is_new else f"{agent} is back: {said:,} messages remembered.")
        screen.note("/help lists commands, Ctrl-D leaves.")
        session = Session(triptych, found, screen)
        for line in _lines():
            if not session.handle(line):
                break


def _lines() -> Iterator[str]:
    """What is typed; without a terminal, the lines of stdin."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import InMemoryHistory

    prompt: PromptSession[str] = PromptSession("you > ", history=InMemoryHistory())
    while True:
        try:
            yield prompt.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
