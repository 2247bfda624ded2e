"""A store as an older version would have left it."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine


def back_to(revision: str, dsn: str, migrations: str) -> None:
    """Takes back the migrations (`package:folder`) behind that one."""
    engine = create_engine(dsn.replace("postgresql:", "postgresql+psycopg:"))
    config = Config()
    config.set_main_option("script_location", migrations)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()
    engine.dispose()
