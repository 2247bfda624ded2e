"""`triptych keys`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.gateway.v1 import gateway_pb2 as pb

app = typer.Typer(help="API keys of the account (needs an admin key).", no_args_is_help=True)


class Kind(StrEnum):
    USER = "user"
    APPLICATION = "application"
    ADMIN = "admin"


_KINDS = {
    Kind.USER: pb.KEY_KIND_USER,
    Kind.APPLICATION: pb.KEY_KIND_APPLICATION,
    Kind.ADMIN: pb.KEY_KIND_ADMIN,
}


@app.command()
def create(
    user: Annotated[str, typer.Argument(help="The user's id or name; none for an application key.")] = "",
    kind: Annotated[Kind, typer.Option(help="What the key may do.")] = Kind.USER,
    name: Annotated[str, typer.Option(help="A note to tell keys apart.")] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Make a key and print its secret, which is shown this once."""
    with client(data, address, api_key) as triptych:
        made = triptych.keys.create(user, kind=_KINDS[kind], name=name)
        typer.echo(made.secret)
        typer.echo(f"{made.key.id}: this is the only time the secret is shown", err=True)


@app.command("list")
def list_keys(
    user: Annotated[str, typer.Argument(help="Only this user's.")] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Print each key's id, beginning, kind and state."""
    with client(data, address, api_key) as triptych:
        for key in triptych.keys.list(user):
            kind = pb.KeyKind.Name(key.kind).removeprefix("KEY_KIND_").lower()
            state = "revoked" if key.HasField("revoke_time") else "valid"
            typer.echo(f"{key.id}  {key.prefix}…  {kind:11}  {state:7}  {key.user_id}  {key.name}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, from `triptych keys list`.")],
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """End a key at once."""
    with client(data, address, api_key) as triptych:
        triptych.keys.revoke(key_id)
        typer.echo(f"revoked {key_id}")
