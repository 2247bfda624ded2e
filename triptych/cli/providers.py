"""`triptych providers`."""

from __future__ import annotations

from typing import Annotated

import typer

from triptych.cli.connect import Address, ApiKey, Data, ForAccount, client

app = typer.Typer(help="Model providers: endpoints with keys of your own.", no_args_is_help=True)
ProviderId = Annotated[str, typer.Argument(help="The provider's id, from `triptych providers list`.")]
# Asked for rather than taken from the command line, where other users of the machine can see it.
Key = Annotated[str, typer.Option("--key", prompt="The provider's key", hide_input=True, envvar="PROVIDER_API_KEY")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What stands before the slash of a model's handle.")],
    base_url: Annotated[str, typer.Argument(help="An OpenAI-compatible endpoint, up to and with /v1.")],
    key: Key,
    model: Annotated[list[str] | None, typer.Option(help="A model that may be used; default: all.")] = None,
    default_model: Annotated[str, typer.Option(help="The model that the handle `NAME/` means.")] = "",
    default: Annotated[bool, typer.Option("--default", help="For agents without a model of their own.")] = False,
    account: ForAccount = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Make a provider and print its id."""
    with client(data, address, api_key, for_account=account) as triptych:
        made = triptych.providers.create(
            name, base_url, key, models=model or (), default_model=default_model, is_default=default
        )
        typer.echo(made.id)


@app.command()
def default(
    provider_id: ProviderId,
    off: Annotated[bool, typer.Option("--off", help="No more: the account's, or the server's endpoint is.")] = False,
    account: ForAccount = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Use a provider for agents without a model of their own."""
    with client(data, address, api_key, for_account=account) as triptych:
        changed = triptych.providers.update(provider_id, is_default=not off)
        typer.echo(f"{changed.name} is {'not ' if off else ''}the default")


@app.command("list")
def list_providers(data: Data = None, address: Address = None, api_key: ApiKey = None) -> None:
    """Print each provider's id, name, URL, the end of its key, whether it is the default, and the account's."""
    with client(data, address, api_key) as triptych:
        for provider in (*triptych.providers.list(), *triptych.providers.list(shared=True)):
            owner = "  (the account's)" if provider.shared else ""
            owner = ("  default" if provider.is_default else "") + owner
            hint = f"…{provider.api_key_hint}" if provider.api_key_hint else "-"
            typer.echo(f"{provider.id}  {provider.name}  {provider.base_url}  {hint}{owner}")


@app.command()
def rotate(
    provider_id: ProviderId,
    key: Key,
    account: ForAccount = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Give a provider a new key, from the next model call on."""
    with client(data, address, api_key, for_account=account) as triptych:
        triptych.providers.update(provider_id, api_key=key)
        typer.echo(f"rotated {provider_id}")


@app.command()
def delete(
    provider_id: ProviderId,
    account: ForAccount = False,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Forget a provider and its key."""
    with client(data, address, api_key, for_account=account) as triptych:
        triptych.providers.delete(provider_id)
        typer.echo(f"deleted {provider_id}")
