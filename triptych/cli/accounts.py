"""`triptych accounts`."""

from __future__ import annotations

from typing import Annotated

import typer

from triptych.cli.connect import Address, ApiKey, Data, client

app = typer.Typer(help="Accounts of the server (needs an operator key).", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The account's name, unique.")],
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Make an account with a first user, and print the secret of its admin key, which is shown this once."""
    with client(data, address, api_key) as triptych:
        made = triptych.accounts.create(name)
        typer.echo(made.secret)
        typer.echo(f"{made.account.id}: this is the only time the secret is shown", err=True)


@app.command("list")
def list_accounts(data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print each account's id and name."""
    with client(data, address, api_key) as triptych:
        for account in triptych.accounts.list():
            typer.echo(f"{account.id}  {account.name}")
