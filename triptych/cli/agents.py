"""`triptych agents`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.cli.which import AgentArgument, agent_id
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
    agent: AgentArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Delete an agent with all it remembers."""
    with client(data, address, api_key) as triptych:
        found = triptych.agents.get(agent_id(triptych, agent))
        if not yes:
            count = triptych.recall.count(found.id)
            typer.confirm(f"Delete {found.name} with {count:,} messages, for good?", abort=True)
        triptych.agents.delete(found.id)
        typer.echo(f"deleted {found.id}")


@app.command("export")
def export_file(
    agent: AgentArgument,
    file: Annotated[Path, typer.Argument(help="The .af file to write.", dir_okay=False)],
    without_messages: Annotated[bool, typer.Option("--without-messages", help="Leave out what was said.")] = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Write an agent with its memory into an agent file (.af)."""
    with client(data, address, api_key) as triptych:
        content = triptych.agents.export_file(agent_id(triptych, agent), with_messages=not without_messages)
    file.write_bytes(content)
    typer.echo(f"{file}: {len(content):,} bytes")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="An .af file, of Triptych or of Letta.", dir_okay=False)],
    name: Annotated[str, typer.Option(help="In place of the name in the file.")] = "",
    model: Annotated[str, typer.Option(help="In place of the model in the file.")] = "",
    without_messages: Annotated[bool, typer.Option("--without-messages", help="Leave out what was said.")] = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Make new agents of an agent file (.af) and print their ids."""
    with client(data, address, api_key) as triptych:
        made = triptych.agents.import_file(file, name=name, model=model, with_messages=not without_messages)
    for each in made.agent_ids:
        typer.echo(each)
    if made.missing_tools:
        typer.echo(f"without these tools, which there are none of here: {', '.join(made.missing_tools)}", err=True)


_User = Annotated[str, typer.Argument(help="The user's id; with an admin key also its name.")]


@app.command()
def share(
    agent: AgentArgument, user: _User, data: Data = None, address: Address = None, api_key: ApiKey = None
) -> None:
    """Let another user of the account talk with an agent, in a conversation of its own."""
    with client(data, address, api_key) as triptych:
        made = triptych.shares.create(agent_id(triptych, agent), _id_of(triptych, user))
        typer.echo(f"shared with {made.user_id}, who talks with it by: triptych chat --shared {made.agent_id}")


@app.command()
def unshare(
    agent: AgentArgument, user: _User, data: Data = None, address: Address = None, api_key: ApiKey = None
) -> None:
    """End it at once; the conversation stays with you."""
    with client(data, address, api_key) as triptych:
        triptych.shares.revoke(agent_id(triptych, agent), _id_of(triptych, user))
        typer.echo("not shared any more")


@app.command()
def shares(agent: AgentArgument, data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print with whom an agent is shared, and the conversation of each."""
    with client(data, address, api_key) as triptych:
        for each in triptych.shares.list(agent_id(triptych, agent)):
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
