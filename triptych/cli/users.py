"""`triptych users`."""

from __future__ import annotations

from typing import Annotated

import typer

from triptych.cli.connect import Address, ApiKey, Data, client

app = typer.Typer(help="Users of the account (needs an admin key).", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The user's name, unique in the account.")],
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Make a user and print its id."""
    with client(data, address, api_key) as triptych:
        typer.echo(triptych.users.create(name).id)


@app.command("list")
def list_users(data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print each user's id and name."""
    with client(data, address, api_key) as triptych:
        for user in triptych.users.list():
            typer.echo(f"{user.id}  {user.name}{'  (disabled)' if user.disabled else ''}")


User = Annotated[str, typer.Argument(help="The user's id or name.")]


@app.command()
def disable(user: User, data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Refuse the user's keys, until it is enabled again."""
    with client(data, address, api_key) as triptych:
        typer.echo(f"disabled {triptych.users.update(user, disabled=True).id}")


@app.command()
def enable(user: User, data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Accept the user's keys again."""
    with client(data, address, api_key) as triptych:
        typer.echo(f"enabled {triptych.users.update(user, disabled=False).id}")
