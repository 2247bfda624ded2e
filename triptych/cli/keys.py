"""`triptych keys`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    OPERATOR = "operator"


class Scope(StrEnum):
    USER = "user"
    READ_ONLY = "read-only"
    ADMIN = "admin"


_KINDS = {
    Kind.USER: pb.KEY_KIND_USER,
    Kind.APPLICATION: pb.KEY_KIND_APPLICATION,
    Kind.ADMIN: pb.KEY_KIND_ADMIN,
    Kind.OPERATOR: pb.KEY_KIND_OPERATOR,
}
_SCOPES = {
    Scope.USER: pb.KEY_SCOPE_USER,
    Scope.READ_ONLY: pb.KEY_SCOPE_READ_ONLY,
    Scope.ADMIN: pb.KEY_SCOPE_ADMIN,
}


@app.command()
def create(
    user: Annotated[str, typer.Argument(help="The user's id or name; none for an application key.")] = "",
    kind: Annotated[Kind, typer.Option(help="For whom the key may act.")] = Kind.USER,
    scope: Annotated[Scope | None, typer.Option(help="What it may do; default: all that its kind allows.")] = None,
    expires_in_days: Annotated[int, typer.Option(min=0, help="0: it does not expire.")] = 0,
    name: Annotated[str, typer.Option(help="A note to tell keys apart.")] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Make a key and print its secret, which is shown this once."""
    with client(data, address, api_key) as triptych:
        made = triptych.keys.create(
            user,
            kind=_KINDS[kind],
            name=name,
            scope=_SCOPES[scope] if scope else pb.KEY_SCOPE_UNSPECIFIED,
            expires=datetime.now(UTC) + timedelta(days=expires_in_days) if expires_in_days else None,
        )
        typer.echo(made.secret)
        typer.echo(f"{made.key.id}: this is the only time the secret is shown", err=True)


@app.command("list")
def list_keys(
    user: Annotated[str, typer.Argument(help="Only this user's.")] = "",
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Print each key's id, beginning, kind, scope, state, last use, user and note."""
    with client(data, address, api_key) as triptych:
        for key in triptych.keys.list(user):
            kind = pb.KeyKind.Name(key.kind).removeprefix("KEY_KIND_").lower()
            scope = pb.KeyScope.Name(key.scope).removeprefix("KEY_SCOPE_").lower().replace("_", "-")
            used = key.last_use_time.ToJsonString()[:16] if key.HasField("last_use_time") else "never used"
            typer.echo(
                f"{key.id}  {key.prefix}…  {kind:11}  {scope:9}  {_state(key):7}  {used:16}  {key.user_id}  {key.name}"
            )


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


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id, from `triptych keys list`.")],
    overlap_seconds: Annotated[int, typer.Option(min=0, help="For how long the old secret stays valid.")] = 0,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Give a key a new secret and print it, this once."""
    with client(data, address, api_key) as triptych:
        typer.echo(triptych.keys.rotate(key_id, overlap_seconds=overlap_seconds).secret)


def _state(key: pb.Key) -> str:
    if key.HasField("revoke_time"):
        return "revoked"
    expired = key.HasField("expire_time") and key.expire_time.ToDatetime(UTC) <= datetime.now(UTC)
    return "expired" if expired else "valid"
