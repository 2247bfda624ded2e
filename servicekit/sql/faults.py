"""A store's own troubles, as errors that say what to do."""

from __future__ import annotations

import sqlite3

import structlog
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from triptych.errors import InvalidArgument, Unavailable

_log = structlog.get_logger("sql")
_SQLITE = {
    sqlite3.SQLITE_FULL: "the store's disk is full",
    sqlite3.SQLITE_IOERR: "the store's disk failed",
    sqlite3.SQLITE_READONLY: "the store can't be written to",
    sqlite3.SQLITE_CORRUPT: "the store is damaged: put back a copy of it",
    sqlite3.SQLITE_NOTADB: "the store is damaged: put back a copy of it",
}
# Classes of SQLSTATE: connection, insufficient resources, operator intervention, system error; 25006: a standby.
_POSTGRES = {
    "08": "the store can't be reached",
    "53": "the store has no room or no connections left",
    "57": "the store is going down, or took too long",
    "58": "the store's disk failed",
    "25006": "the store can't be written to",
}


def translated(error: Exception) -> Exception:
    """Unavailable for what is the store's trouble and not the work's; every other error as it is.

    InvalidArgument for a NUL, which PostgreSQL takes in no text: an id that is only looked for may have one.
    """
    told = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, DataError) and "NUL" in str(told):
        return InvalidArgument("no id, name or text may contain a NUL character")
    words = _words(error)
    if words is None:
        return error
    _log.error("the store failed", problem=words, error=str(told))
    fault = Unavailable(f"{words}; nothing that was not acknowledged is kept: retry later")
    fault.__cause__ = error
    return fault


def _words(error: Exception) -> str | None:
    told = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(told, sqlite3.Error):
        code = getattr(told, "sqlite_errorcode", None)
        return None if code is None else _SQLITE.get(code & 0xFF)
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(told, "sqlstate", None) or ""
    # Of a connection that could not be made there is nobody to say the state.
    if error.connection_invalidated or (isinstance(error, OperationalError) and not state):
        return _POSTGRES["08"]
    return _POSTGRES.get(state) or _POSTGRES.get(state[:2])
