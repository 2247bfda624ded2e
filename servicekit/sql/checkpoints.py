"""Moves what was committed from SQLite's log into its file, beside the writer.

SQLite would do it in every so many commits, and all that waits for these, waits for some hundred pages to be written
and synced. Here a thread does it with a connection of its own, while the writer goes on; what the writer has added
meanwhile it moves itself, which is little, and then the log begins anew from its start.
"""

from __future__ import annotations

import sqlite3
import threading

import structlog
from sqlalchemy import Engine

_log = structlog.get_logger("sql")
# After so many changed rows: some thousand pages, a few megabytes of log.
_CHANGES = 400
# In pages. Should the thread not keep up, a commit does it after all.
MOST_PAGES = 10_000


class Checkpointer:
    def __init__(self, engine: Engine) -> None:
        self._connection = engine.raw_connection()
        self._wanted = threading.Event()
        self._moved_at = 0
        self._nearly = self._closed = False
        self._thread = threading.Thread(target=self._loop, name="sql-checkpoint", daemon=True)
        self._thread.start()

    def committed(self, writer: sqlite3.Connection) -> None:
        """Is told by the writer, between its transactions."""
        if self._nearly:
            self._nearly = False
            _move(writer)
        elif writer.total_changes - self._moved_at >= _CHANGES:
            self._moved_at = writer.total_changes
            self._wanted.set()

    def close(self) -> None:
        self._closed = True
        self._wanted.set()
        self._thread.join()
        self._connection.close()

    def _loop(self) -> None:
        driver = self._connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        while self._wanted.wait() and not self._closed:
            self._wanted.clear()
            _move(driver)
            self._nearly = True


def _move(driver: sqlite3.Connection) -> None:
    """Moves all that no reader stands in the way of."""
    try:
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
    except sqlite3.Error as error:  # a full disk: the log grows meanwhile
        _log.warning("the store's log could not be emptied", problem=type(error).__name__)
