"""From a DSN to an open store with the newest schema."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from servicekit.sql.database import Database, StoreError
from servicekit.sql.sqlite import SqliteDatabase

_FORMS = "use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"


def open_database(dsn: str, migrations: str) -> Database:
    """Opens (and migrates to the newest schema) the store at the SQLAlchemy URL `dsn`.

    `migrations`: an Alembic script location such as `recall_service:migrations`.
    Raises: StoreError if it is held by another process, can't be opened, or is of a kind that has no backend here.
    """
    try:
        url = make_url(dsn)
    except ArgumentError:  # it may hold a password: it is not repeated
        raise StoreError(f"the store's DSN is not a SQLAlchemy URL: {_FORMS}") from None
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url, migrations)
    if url.get_backend_name() == "postgresql":
        return _open_postgres(url, migrations)
    raise StoreError(f"no backend for {url.get_backend_name()}: {_FORMS}")


def _open_sqlite(url: URL, migrations: str) -> Database:
    if not url.database or url.database == ":memory:":
        raise StoreError("a store needs a file: use sqlite:///PATH")
    try:
        return SqliteDatabase(Path(url.database), migrations)
    except (OSError, DatabaseError) as error:
        raise StoreError(
            f"{url.database} can't be opened: {getattr(error, 'orig', error)}. If the file is damaged, put back a copy "
            "of it, or try `sqlite3 FILE .recover` on one"
        ) from error


def _open_postgres(url: URL, migrations: str) -> Database:
    try:
        from servicekit.sql.postgres import PostgresDatabase
    except ImportError as error:
        raise StoreError("PostgreSQL needs a driver: pip install 'triptych[postgres]'") from error
    try:
        return PostgresDatabase(url, migrations)
    except DatabaseError as error:  # its text may hold what the password's place is in: the driver's has none of it
        raise StoreError(f"the store at {url.render_as_string(hide_password=True)}: {error.orig}") from error
