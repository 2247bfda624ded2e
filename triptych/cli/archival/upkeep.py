"""`triptych archival migrate` and `reembed`: on the store itself, while its system is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli import upkeep
from triptych.cli.up import data_dir

_SERVICE = "archival_service"
_URL = "TRIPTYCH_ARCHIVAL_QDRANT_URL"
_Data = Annotated[Path, typer.Option(help="The directory of `triptych up`.", envvar="TRIPTYCH_DATA")]


def migrate(
    url: Annotated[str, typer.Argument(help="gRPC address of the Qdrant server: http://HOST:6334")],
    api_key: Annotated[str, typer.Option(help="Its key.", envvar="TRIPTYCH_ARCHIVAL_QDRANT_API_KEY")] = "",
    data: _Data = Path(data_dir.DEFAULT),
) -> None:
    """Move the index of all passages to a Qdrant server, count and try it there.

    Stop `triptych up` first, and start it again with TRIPTYCH_ARCHIVAL_QDRANT_URL set to the same address. The passages
    themselves stay where they are; without that variable the next start goes back to the embedded index.
    """
    directory = upkeep.take(data)
    more = {_URL: url, **({"TRIPTYCH_ARCHIVAL_QDRANT_API_KEY": api_key} if api_key else {})}
    typer.echo(upkeep.run(directory, _SERVICE, "migrate-index", more))
    typer.echo(f"now start it with {_URL}={url}")


def reembed(data: _Data = Path(data_dir.DEFAULT)) -> None:
    """Make all vectors anew with the embedder that is configured now (TRIPTYCH_EMBEDDER…); goes on where it was cut.

    Stop `triptych up` first. There is no need to: started with another embedder, it does the same while it serves.
    """
    typer.echo(upkeep.run(upkeep.take(data), _SERVICE, "reembed") or "all vectors are of the configured embedder")
