"""`triptych agents`."""

from __future__ import annotations

from typing import Annotated

import typer

from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.client import Triptych

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


_Agent = Annotated[str, typer.Argument(help="The agent's id.")]
_User = Annotated[str, typer.Argument(help="The user's id; with an admin key also its name.")]


@app.command()
def share(agent_id: _Agent, user: _User, data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Let another user of the account talk with an agent, in a conversation of its own."""
    with client(data, address, api_key) as triptych:
        made = triptych.shares.create(agent_id, _id_of(triptych, user))
        typer.echo(f"shared with {made.user_id}, who talks with it by: triptych chat --shared {agent_id}")


@app.command()
def unshare(agent_id: _Agent, user: _User, data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """End it at once; the conversation stays with you."""
    with client(data, address, api_key) as triptych:
        triptych.shares.revoke(agent_id, _id_of(triptych, user))
        typer.echo("not shared any more")


@app.command()
def shares(agent_id: _Agent, data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print with whom an agent is shared, and the conversation of each."""
    with client(data, address, api_key) as triptych:
        for each in triptych.shares.list(agent_id):
            typer.echo(f"{each.user_id}  {each.conversation_id}")


@app.command()
def shared(data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print the agents that others share with you."""
    with client(data, address, api_key) as triptych:
        for each in triptych.shared_agents.list():
            typer.echo(f"{each.agent_id}  {each.name}")


def _id_of(triptych: Triptych, user: str) -> str:
    """Raises: NotFound."""
    return user if user.startswith("user-") else triptych.users.get(user).id
