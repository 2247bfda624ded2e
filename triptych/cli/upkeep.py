"""Runs a service's own command on the stores of a data directory whose system is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from triptych.cli.errors import CommandError
from triptych.cli.up.data_dir import DataDir
from triptych.cli.up.plan import passed_on, stores
from triptych.cli.up.process import clean_environment


def take(data: Path) -> DataDir:
    """The directory, which this process now owns. Raises: CommandError if it is not there, or its system is up."""
    directory = DataDir(data)
    if not directory.path.is_dir():
        raise CommandError(f"there is no {directory.path}: name the directory of `triptych up` with --data DIR")
    directory.take()
    return directory


def run(directory: DataDir, service: str, command: str, more: Mapping[str, str] | None = None) -> str:
    """`python -m SERVICE COMMAND` with a progress bar; gives what it printed. Raises: CommandError with its words."""
    environ = clean_environment() | passed_on(service, os.environ) | stores(directory.path)[service] | dict(more or {})
    environ["TRIPTYCH_LOG_FORMAT"] = "json"
    process = subprocess.Popen(
        [sys.executable, "-m", service, command],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    last = ""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{service} {command}", total=None)
        for line in process.stderr:
            last = line.strip() or last
            said = _said(line)
            if "done" in said and "total" in said:
                progress.update(task, completed=said["done"], total=said["total"])
    if process.wait():
        raise CommandError(last or f"{service} ended with code {process.returncode}")
    return process.stdout.read().strip()


def _said(line: str) -> dict[str, Any]:
    """A line of the log; {} for any other."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
