"""Triptych: the memory server for LLM agents.

    from triptych import Triptych

    with Triptych.from_env() as client:
        agent = client.agents.create("ann", blocks={"human": "Name: Ann."})
        print(client.turns.send(agent.id, "Hello!").text)

The clients are loaded when they are first named, so that a service which needs only the contract stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triptych.aio import AsyncTriptych
    from triptych.client import Triptych

__all__ = ["ACCOUNT", "AsyncTriptych", "Triptych"]

# In the place of a user: the account itself, which owns what it shares with its users. Users' own ids have a UUID.
ACCOUNT = "user-account"


def __getattr__(name: str) -> Any:
    if name == "Triptych":
        from triptych.client import Triptych

        return Triptych
    if name == "AsyncTriptych":
        from triptych.aio import AsyncTriptych

        return AsyncTriptych
    raise AttributeError(f"module triptych has no attribute {name}")
