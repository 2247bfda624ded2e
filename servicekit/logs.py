"""Structured logs on stderr. No message text, no block value, no key ever goes into one."""

from __future__ import annotations

import hashlib
import logging
import sys
from functools import lru_cache
from typing import Any

import orjson
import structlog

from servicekit.principal import Tenant
from triptych.environment import BadEnvironment


def configure(service: str, *, level: str = "info", fmt: str = "json") -> None:
    """Call once at start. `fmt`: `json` (a line an event) or `console`.

    Raises: BadEnvironment for an unknown level or format.
    """
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels or fmt not in ("json", "console"):
        raise BadEnvironment(
            "TRIPTYCH_LOG_LEVEL is debug, info, warning or error; TRIPTYCH_LOG_FORMAT is json or console"
        )
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if fmt == "console"
        else structlog.processors.JSONRenderer(_dumps)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


@lru_cache(10_000)
def hashed(tenant: Tenant) -> str:
    """A short stand-in for the tenant: enough to follow one through a log, nothing to look up."""
    return hashlib.sha256("/".join(tenant).encode()).hexdigest()[:12]
