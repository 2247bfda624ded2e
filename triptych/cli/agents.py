"""`triptych agents`."""

from __future__ import annotations

from typing import Annotated

import typer

from triptych.cli.connect import Address, ApiKey, Data, client

app = typer.Typer(help="Your agents.", no_args_is_help=True)


@app.command("list")
def list_agents(data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print each agent's id, name and number of messages."""
    with client(data, address, api_key) as triptych:
        for agent in triptych.agents.list():
            typer.echo(f"{agent.id}  {triptych.recall.count(agent.id):7,} messages  {agent.name}")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The agent's name.")],
    human: Annotated[str, typer.Option(help="What it should know of you.")] = "",
    persona: Annotated[str, typer.Option(help="Who it should be.")] = "",
    model: Annotated[str, typer.Option(help="Its model; default: the server's.")] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Make an agent and print its id."""
    with client(data, address, api_key) as triptych:
        agent = triptych.agents.create(name, blocks={"human": human, "persona": persona}, model=model)
        typer.echo(agent.id)


@app.command()
def delete(
    agent_id: Annotated[str, typer.Argument(help="The agent's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Delete an agent with all it remembers."""
    with client(data, address, api_key) as triptych:
        agent = triptych.agents.get(agent_id)
        if not yes:
            count = triptych.recall.count(agent_id)
            typer.confirm(f"Delete {agent.name} with {count:,} messages, for good?", abort=True)
        triptych.agents.delete(agent_id)
        typer.echo(f"deleted {agent_id}")
