"""`triptych doctor`: says what is wrong with the set-up, and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from triptych import environment
from triptych.cli.connect import client
from triptych.cli.errors import CommandError
from triptych.cli.up import data_dir
from triptych.cli.up.command import GRPC_PORT, HTTP_PORT
from triptych.cli.up.data_dir import DataDir
from triptych.cli.up.model import LOCAL_MODEL, ModelChoice, choose
from triptych.environment import BadEnvironment
from triptych.errors import TriptychError

_FREE_GIB = 1.0
_PROBE_SECONDS = 5.0


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    what: str


def doctor(
    data: Annotated[Path, typer.Option(help="The directory of `triptych up`.", envvar="TRIPTYCH_DATA")] = Path(
        data_dir.DEFAULT
    ),
) -> None:
    """Check the set-up. Ends with code 1 if anything would keep `triptych up` from working."""
    failed = False
    for finding in examine(data):
        typer.echo(f"{finding.verdict.value:4}  {finding.what}")
        failed = failed or finding.verdict is Verdict.FAIL
    raise typer.Exit(1 if failed else 0)


def examine(data: Path) -> Iterator[Finding]:
    """Every finding, as soon as it is known."""
    yield _python()
    yield _installed("the services", ("sqlalchemy", "qdrant_edge", "fastapi"), "pip install 'triptych[server]'")
    yield _environment()
    directory = DataDir(data)
    yield _directory(directory)
    yield _disk(directory.path)
    yield from _keys(directory.path)
    yield from _stores(directory.path)
    running = directory.read_ready()
    if running is not None:
        yield _server(directory.path)
    else:
        yield Finding(Verdict.OK, f"nothing is running on {directory.path}")
        yield _port("REST", HTTP_PORT, "--http-port")
        yield _port("gRPC", GRPC_PORT, "--grpc-port")
    yield _model(directory.path if running is not None else None)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout runs on any Python
        return Finding(Verdict.FAIL, f"Python {version} is too old: install 3.11 or newer")
    return Finding(Verdict.OK, f"Python {version}")


def _installed(what: str, modules: tuple[str, ...], mend: str) -> Finding:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(Verdict.FAIL, f"{what} are not installed ({', '.join(missing)} missing): {mend}")
    return Finding(Verdict.OK, f"{what} are installed")


def _environment() -> Finding:
    try:
        environment.check(os.environ)
    except BadEnvironment as error:
        return Finding(Verdict.FAIL, str(error))
    return Finding(Verdict.OK, "no unknown TRIPTYCH_* variable is set")


def _directory(directory: DataDir) -> Finding:
    path = directory.path
    if not path.exists():
        return Finding(Verdict.OK, f"{path} does not exist yet; `triptych up` makes it")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding(Verdict.FAIL, f"{path} can't be written by you: chown it, or choose another --data")
    if path.stat().st_mode & 0o077:
        return Finding(Verdict.WARN, f"{path} can be read by others: chmod 700 {path}")
    return Finding(Verdict.OK, f"{path} is yours alone")


def _disk(path: Path) -> Finding:
    there = next(each for each in (path, *path.parents) if each.exists())
    free = shutil.disk_usage(there).free / 2**30
    verdict = Verdict.OK if free >= _FREE_GIB else Verdict.WARN
    return Finding(verdict, f"{free:.1f} GiB free" + ("" if verdict is Verdict.OK else ": make room"))


def _keys(path: Path) -> Iterator[Finding]:
    """Those that are damaged. Others' keys and secrets are kept by them, so they are not simply made anew."""
    for file in sorted((path / "keys").glob("*")):
        content = file.read_text(errors="replace") if os.access(file, os.R_OK) else ""
        if not content.strip() or (file.suffix == ".pem" and "-----END" not in content):
            yield Finding(Verdict.FAIL, f"{file} is damaged, or not yours to read: restore it from a backup")


def _stores(path: Path) -> Iterator[Finding]:
    """Each that is there, by a look at its beginning."""
    for file in sorted(path.glob("*.db")):
        if file.stat().st_size == 0:  # one that is still to be made
            continue
        try:
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as store:
                store.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.Error as error:
            yield Finding(Verdict.FAIL, f"{file} can't be read as a store ({error}): restore it from a backup")
        else:
            yield Finding(Verdict.OK, f"{file.name} can be read")


def _server(path: Path) -> Finding:
    try:
        with client(path, None, None) as triptych:
            triptych.users.me()
    except TriptychError as error:
        return Finding(
            Verdict.FAIL, f"{path / 'ready.json'} names a server that does not answer ({error.message}): start it again"
        )
    return Finding(Verdict.OK, "the server answers")


def _port(what: str, port: int, option: str) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return Finding(Verdict.FAIL, f"port {port} ({what}) is in use: give {option} another, or 0 for any")
    return Finding(Verdict.OK, f"port {port} ({what}) is free")


def _model(running: Path | None) -> Finding:
    """`running`: the directory of a system that is up, which may have been told of a model that is not told here."""
    try:
        chosen = choose("", "", "", os.environ)
    except CommandError as error:
        return Finding(Verdict.FAIL, str(error))
    if chosen.weights is not None and running is not None:
        return _served(running)
    if chosen.weights is not None:
        return Finding(Verdict.WARN, "no model is configured: `up` will use a small local one, for trying out only")
    return _endpoint(chosen)


def _served(path: Path) -> Finding:
    try:
        with client(path, None, None) as triptych:
            default, listed = triptych.models.default(), triptych.models.list()
    except TriptychError as error:
        return Finding(Verdict.FAIL, f"which model the running server uses is not known ({error.message})")
    if not listed:
        return Finding(Verdict.FAIL, f"the running server's model does not answer; see {path / 'logs'}")
    if default == LOCAL_MODEL:
        return Finding(Verdict.WARN, "the running server uses the small local model, which is for trying out only")
    return Finding(Verdict.OK, f"the running server's agents use the model {default}")


def _endpoint(chosen: ModelChoice) -> Finding:
    try:
        names = _list_models(chosen)
    except CommandError as error:
        return Finding(Verdict.FAIL, f"the model's endpoint {chosen.base_url} {error}")
    if chosen.name and names and chosen.name not in names:
        return Finding(Verdict.WARN, f"{chosen.base_url} does not list the model {chosen.name}; it lists {names[:5]}")
    return Finding(Verdict.OK, f"the model's endpoint {chosen.base_url} answers")


def _list_models(chosen: ModelChoice) -> list[str]:
    """Raises: CommandError with what is wrong and how to mend it."""
    import httpx

    headers = {"authorization": f"Bearer {chosen.api_key}"} if chosen.api_key else {}
    try:
        response = httpx.get(f"{chosen.base_url.rstrip('/')}/models", headers=headers, timeout=_PROBE_SECONDS)
    except httpx.HTTPError as error:
        raise CommandError(f"can't be reached ({type(error).__name__}): check the URL and that it is up") from None
    if response.status_code in (401, 403):
        raise CommandError("refuses the key: check TRIPTYCH_MODEL_API_KEY or OPENAI_API_KEY")
    try:
        return [str(model["id"]) for model in response.raise_for_status().json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        raise CommandError(f"does not answer GET /models in the OpenAI format ({response.status_code})") from None
