"""Which agent is meant: commands take its name as well as its id."""

from __future__ import annotations

from typing import Annotated

import typer

from triptych.cli.errors import CommandError
from triptych.client import Triptych

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id or name.")]


def agent_id(triptych: Triptych, given: str) -> str:
    """Raises: CommandError for a name that no agent has, or several."""
    if given.startswith("agent-"):
        return given
    ids = [agent.id for agent in triptych.agents.list(name=given)]
    if len(ids) != 1:
        problem = f"{len(ids)} of your agents are called {given}: give the id of one" if ids else f"no agent {given}"
        raise CommandError(f"{problem} (`triptych agents list` shows them)")
    return ids[0]
