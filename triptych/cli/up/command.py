"""The command `triptych up`."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from pathlib import Path
from typing import Annotated

import typer

from triptych import environment
from triptych.cli.errors import CommandError
from triptych.cli.up import data_dir
from triptych.cli.up.data_dir import DataDir, Running
from triptych.cli.up.model import POINT_TO_A_REAL_ONE, choose
from triptych.cli.up.plan import Plan, without_effect
from triptych.cli.up.supervisor import Supervisor

HTTP_PORT, GRPC_PORT = 8283, 7410


def up(
    data: Annotated[Path, typer.Option(help="Where everything is kept.", envvar="TRIPTYCH_DATA")] = Path(
        data_dir.DEFAULT
    ),
    http_port: Annotated[int, typer.Option(help="Port of REST; 0 takes a free one.", min=0, max=65535)] = HTTP_PORT,
    grpc_port: Annotated[int, typer.Option(help="Port of gRPC; 0 takes a free one.", min=0, max=65535)] = GRPC_PORT,
    model_base_url: Annotated[str, typer.Option(help="An OpenAI-compatible endpoint, up to and with /v1.")] = "",
    model: Annotated[str, typer.Option(help="The model's name there. Default: the first one it lists.")] = "",
    model_api_key: Annotated[str, typer.Option(help="The endpoint's key.")] = "",
) -> None:
    """Start Triptych on this machine, with embedded stores, until Ctrl-C.

    Without a model it starts a small local one, for trying out.
    """
    environment.check(os.environ)
    if importlib.util.find_spec("sqlalchemy") is None or importlib.util.find_spec("qdrant_edge") is None:
        raise CommandError("the services are not installed: pip install 'triptych[server]'")
    chosen = choose(model_base_url, model, model_api_key, os.environ)
    directory = DataDir(data)
    directory.take()
    api_key, is_new = directory.api_key()
    if chosen.weights is not None:
        typer.echo(f"No model is configured, so a small local one is used: for trying out only. {_real_one()}")
    for name in without_effect(os.environ):
        typer.echo(f"{name} has no effect here: `triptych up` has a value of its own (docs/configuration.md)", err=True)
    typer.echo(f"Starting Triptych in {directory.path} …")

    def on_ready(running: Running) -> None:
        if is_new:
            typer.echo(f"Your first API key: {running.api_key}")
        typer.echo(
            f"ready {running.http_url} (REST), {running.grpc_address} (gRPC); "
            f"key and pids in {directory.ready_file}; Ctrl-C stops"
        )

    plan = Plan(directory, chosen, http_port, grpc_port, os.environ)
    asyncio.run(Supervisor(plan, api_key, on_ready, typer.echo).run())
    typer.echo("stopped")


def _real_one() -> str:
    return f"For a real one, {POINT_TO_A_REAL_ONE}."
