"""The command `triptych chat`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from triptych.cli.chat import guest
from triptych.cli.chat.screen import Screen
from triptych.cli.chat.session import Session, Talk, find_or_create
from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.client import Triptych

DEFAULT_AGENT = "companion"


def chat(
    agent: Annotated[str, typer.Option(help="The agent's name; made if there is none.")] = DEFAULT_AGENT,
    shared: Annotated[str, typer.Option(help="An agent that somebody shares with you, by name or id.")] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Talk with an agent. It is found again next time, and remembers."""
    screen = Screen(Console(highlight=False))
    with client(data, address, api_key) as triptych:
        talk = _as_guest(triptych, shared, screen) if shared else _with_own(triptych, agent, screen)
        screen.note("/help lists commands, Ctrl-D leaves.")
        for line in _lines():
            if not talk.handle(line):
                break


def _with_own(triptych: Triptych, name: str, screen: Screen) -> Talk:
    found, is_new = find_or_create(triptych, name)
    said = triptych.recall.count(found.id)
    messages = "1 message" if said == 1 else f"{said:,} messages"
    screen.note(f"{name} is new." if is_new else f"{name} is back: {messages} remembered.")
    return Session(triptych, found, screen)


def _as_guest(triptych: Triptych, wanted: str, screen: Screen) -> Talk:
    found = guest.find(triptych, wanted)
    screen.note(f"{found.name} is another user's: what you say changes none of its memory.")
    return guest.GuestSession(triptych, found, screen)


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
