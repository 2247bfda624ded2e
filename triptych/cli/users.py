"""`triptych users`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.gateway.v1.gateway_pb2 import Limits

_MIB = 1024 * 1024

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


@app.command()
def export(
    user: User,
    file: Annotated[Path, typer.Argument(help="The zip archive to write.", dir_okay=False)],
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Write all of a user's data to one zip archive of NDJSON files."""
    with client(data, address, api_key) as triptych:
        pieces = triptych.users.export(user)
        first = next(pieces)  # before the file is opened: one that is there outlives a mistyped name
        with file.open("wb") as archive:
            archive.write(first)
            archive.writelines(pieces)


@app.command()
def delete(
    user: User,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Erase a user in all tiers, for good, and print what was removed."""
    if not yes:
        typer.confirm(f"Erase {user} and all that it has, for good?", abort=True)
    with client(data, address, api_key) as triptych:
        erasure = triptych.users.delete(user)
        for kind, count in sorted(erasure.removed.items()):
            if count:
                typer.echo(f"{kind}: {count:,}")
        typer.echo(f"{erasure.id}: {'done' if erasure.HasField('end_time') else 'goes on'}")


@app.command()
def usage(user: User, data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print what a user has used, and what it may."""
    with client(data, address, api_key) as triptych:
        typer.echo(triptych.users.usage(user))


@app.command()
def limits(
    user: Annotated[
        str, typer.Argument(help="The user's name or id; without: each user that has none of its own.")
    ] = "",
    requests_per_second: Annotated[float, typer.Option(min=0, help="Requests in a second.")] = 0,
    live_turns: Annotated[int, typer.Option(min=0, help="Turns under way at once.")] = 0,
    tokens_per_day: Annotated[int, typer.Option(min=0, help="Model tokens in a day (UTC).")] = 0,
    stored_mb: Annotated[float, typer.Option(min=0, help="MiB that may be stored.")] = 0,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Set a user's limits, or the account's, in place of those before. What is not given is not set."""
    wanted = Limits(
        requests_per_second=requests_per_second,
        live_turns=live_turns,
        tokens_per_day=tokens_per_day,
        stored_bytes=int(stored_mb * _MIB),
    )
    with client(data, address, api_key) as triptych:
        triptych.users.set_limits(user, wanted)
        if user:
            typer.echo(triptych.users.usage(user).limits)
