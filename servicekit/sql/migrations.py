"""Brings a store to the newest schema, and what every service's Alembic `env.py` does."""

from __future__ import annotations

from importlib import resources
from typing import Any

from sqlalchemy import Connection, inspect

from servicekit.sql.database import StoreError


def migrate(connection: Connection, location: str) -> None:
    """Runs the migrations at `location` that the store has not had, in one transaction, which it commits.

    Raises: StoreError for a store that has had others.
    """
    if _is_newest(connection, location):
        connection.rollback()
        return
    # Only now: Alembic takes a fifth of a second and 15 MB, and most starts have nothing for it to do.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", location)
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"the store has a schema that this version does not know, perhaps that of a newer one: {error}"
        ) from error
    connection.commit()


def run() -> None:
    """What `env.py` calls: runs the migrations on the connection that `migrate` put into the config's attributes."""
    from alembic import context

    connection: Connection = context.config.attributes["connection"]
    options: dict[str, Any] = {"transactional_ddl": True}
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()


def _is_newest(connection: Connection, location: str) -> bool:
    """Whether the store is at the last of the migrations, whose files are named `REVISION_what.py` in order."""
    package, _, folder = location.partition(":")
    versions = resources.files(package) / folder / "versions"
    newest = max(file.name for file in versions.iterdir() if file.name[0].isdigit()).partition("_")[0]
    if not inspect(connection).has_table("alembic_version"):
        return False
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == newest
