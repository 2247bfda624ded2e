"""`triptych vacuum`: what was deleted leaves the files too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli import upkeep
from triptych.cli.up import data_dir
from triptych.cli.up.plan import SERVICES

_MIB = 1024 * 1024


def vacuum(
    data: Annotated[Path, typer.Option(help="The directory of `triptych up`.", envvar="TRIPTYCH_DATA")] = Path(
        data_dir.DEFAULT
    ),
) -> None:
    """Write all stores anew, so that no byte of what was deleted is left in their files.

    Stop `triptych up` first. The index of passages is built again at the next start.
    """
    directory = upkeep.take(data)
    before = _size(directory.path)
    for service in SERVICES:
        upkeep.run(directory, service, "vacuum")
        typer.echo(f"{service}: done")
    typer.echo(f"{before / _MIB:.1f} MiB before, {_size(directory.path) / _MIB:.1f} MiB after")


def _size(path: Path) -> int:
    """Bytes of all files in it."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
