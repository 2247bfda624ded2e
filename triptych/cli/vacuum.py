"""`triptych vacuum`: what was deleted leaves the files too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from triptych.cli.errors import CommandError
from triptych.cli.up import data_dir
from triptych.cli.up.data_dir import DataDir
from triptych.cli.up.plan import SERVICES, stores
from triptych.cli.up.process import clean_environment

_MIB = 1024 * 1024


def vacuum(
    data: Annotated[Path, typer.Option(help="The directory of `triptych up`.", envvar="TRIPTYCH_DATA")] = Path(
        data_dir.DEFAULT
    ),
) -> None:
    """Write all stores anew, so that no byte of what was deleted is left in their files.

    Stop `triptych up` first. The index of passages is built again at the next start.
    """
    directory = DataDir(data)
    if not directory.path.is_dir():
        raise CommandError(f"there is no {directory.path}: name the directory of `triptych up` with --data DIR")
    directory.take()
    before = _size(directory.path)
    console = Console(stderr=True)
    for service in SERVICES:
        with console.status(f"{service} …"):
            _vacuum(service, stores(directory.path)[service])
        typer.echo(f"{service}: done")
    typer.echo(f"{before / _MIB:.1f} MiB before, {_size(directory.path) / _MIB:.1f} MiB after")


def _vacuum(service: str, environ: dict[str, str]) -> None:
    """Raises: CommandError with what the service said."""
    command = [sys.executable, "-m", service, "vacuum"]
    done = subprocess.run(command, env=clean_environment() | environ, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{service} ended with code {done.returncode}"]
        raise CommandError(lines[-1])


def _size(path: Path) -> int:
    """Bytes of all files in it."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
