"""The directory of `triptych up`: one owner at a time, readable by its user alone."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.cli.errors import CommandError

DEFAULT = "~/.triptych"


@dataclass(frozen=True)
class Running:
    """What `ready.json` says of a system that is up."""

    http_url: str
    grpc_address: str
    api_key: str
    pids: dict[str, int]


class DataDir:
    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock: int | None = None

    @property
    def ready_file(self) -> Path:
        return self.path / "ready.json"

    def take(self) -> None:
        """Makes the directory and becomes its owner. Raises: CommandError if another `up` is, or it can't be used."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.path / "up.lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise CommandError(f"can't use {self.path}: {error.strerror}. Choose another with --data DIR.") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CommandError(
                f"another `triptych up` is running on {self.path}. Stop that one, or choose another --data DIR."
            ) from None

    def sub(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(exist_ok=True, mode=0o700)
        return path

    def api_key(self) -> tuple[str, bool]:
        """The first API key, and whether it was made just now."""
        path = self.sub("keys") / "first_api_key"
        if path.is_file():
            return path.read_text().strip(), False
        secret = "trip_" + secrets.token_urlsafe(32)
        write_private(path, secret + "\n")
        return secret, True

    def write_ready(self, running: Running) -> None:
        write_private(self.ready_file, json.dumps(vars(running), indent=1) + "\n")

    def read_ready(self) -> Running | None:
        """None if nothing is up here, or if what was has died without saying so."""
        try:
            content: dict[str, Any] = json.loads(self.ready_file.read_text())
            return Running(**content)
        except (OSError, ValueError, TypeError):
            return None

    def forget_ready(self) -> None:
        self.ready_file.unlink(missing_ok=True)


def write_private(path: Path, content: str) -> None:
    """Writes a file for the owner alone, whole or not at all."""
    part = path.with_name(path.name + ".part")
    handle = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
