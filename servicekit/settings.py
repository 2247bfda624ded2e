"""Reads settings from the environment, once, at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych import environment
from triptych.environment import BadEnvironment


class Environment:
    """Typed look-ups over the table of `triptych.environment`. Each raises BadEnvironment naming the variable."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        environment.check(self._environ)

    @property
    def environ(self) -> Mapping[str, str]:
        """What is looked up in, for settings of libraries that don't know this class."""
        return self._environ

    def text(self, name: str) -> str:
        return environment.get(self._environ, name)

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise BadEnvironment(f"{name} is not set: it is {environment.VARIABLES[name].meaning}")
        return value

    def number(self, name: str) -> float:
        try:
            value = float(self.text(name))
        except ValueError:
            raise BadEnvironment(f"{name} is not a number: {self.text(name)!r}") from None
        if not 0 <= value < float("inf"):
            raise BadEnvironment(f"{name} must be a number of zero or more, not {self.text(name)!r}")
        return value

    def integer(self, name: str) -> int:
        return int(self.number(name))

    def flag(self, name: str) -> bool:
        value = self.text(name).lower()
        if value not in ("true", "false", "1", "0", "on", "off"):
            raise BadEnvironment(f"{name} is true or false, not {value!r}")
        return value in ("true", "1", "on")

    def listen(self, name: str, *, sockets: bool = True) -> str:
        """An address to bind: `host:port`, or with `sockets` also `unix:/path`."""
        value = self.text(name)
        if sockets and len(value) > len("unix:") and value.startswith("unix:"):
            return value
        host, _, port = value.rpartition(":")
        # Without a host a server would be open to the whole network, which must be asked for in words: 0.0.0.0.
        if not (host and port.isascii() and port.isdigit() and int(port) < 65536):
            raise BadEnvironment(f"{name} must be HOST:PORT (port 0: any free one), not {value!r}")
        return value

    def optional_listen(self, name: str) -> str:
        """As `listen`, of `host:port` alone; empty where none is given."""
        return self.listen(name, sockets=False) if self.text(name) else ""

    def file(self, name: str) -> Path:
        path = Path(self.required(name)).expanduser()
        if not path.is_file():
            raise BadEnvironment(f"{name}: there is no file {path}")
        return path


@dataclass(frozen=True)
class Running:
    """How any service runs."""

    log_level: str
    log_format: str
    drain_seconds: float
    reflection: bool

    @classmethod
    def read(cls, env: Environment) -> Running:
        return cls(
            log_level=env.text("TRIPTYCH_LOG_LEVEL"),
            log_format=env.text("TRIPTYCH_LOG_FORMAT"),
            drain_seconds=env.number("TRIPTYCH_DRAIN_SECONDS"),
            reflection=env.flag("TRIPTYCH_REFLECTION"),
        )
