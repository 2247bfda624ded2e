"""The command `triptych import`."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from triptych.cli.connect import Address, ApiKey, Data, client
from triptych.cli.errors import CommandError


def import_agents(
    from_letta: Annotated[str, typer.Option(help="The URL of a running Letta server, such as http://localhost:8283.")],
    letta_api_key: Annotated[
        str, typer.Option(envvar="LETTA_API_KEY", help="The key to use there, if it wants one.")
    ] = "",
    agent: Annotated[
        list[str] | None, typer.Option(help="Only this agent, by id or name; may be given several times.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="The model that the agents get here; default: the one that they have.")
    ] = "",
    page_size: Annotated[int, typer.Option(min=1, max=500, help="How many messages go at a time.")] = 100,
    data: Data = None,
    address: Address = None,
    api_key: ApiKey = None,
) -> None:
    """Bring the agents of a Letta server here: blocks, tools, archives with their passages, conversations, messages.

    Nothing is changed there. An import that was cut short is run again: what is here already stays, and what is missing
    comes. At the end what is here is counted; the exit code is 1 if anything is missing.
    """
    if importlib.util.find_spec("letta_client") is None:
        raise CommandError("this needs letta-client: pip install 'triptych[letta]'")
    # Here, since it takes a second.
    from triptych.cli.letta.moving import Mover, Telling
    from triptych.cli.letta.source import Source

    console = Console(highlight=False)
    source = Source(from_letta, letta_api_key, page_size)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with client(data, address, api_key) as triptych, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=None)

        telling = Telling(
            done=lambda done, total: progress.update(task, completed=done, total=total),
            doing=lambda text: progress.update(task, description=text),
        )
        report = Mover(source, triptych, model, page_size, telling).run(agent or ())
    source.close()
    report.show(console)
    if not report.whole:
        raise typer.Exit(1)
