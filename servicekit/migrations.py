"""What every service's Alembic `env.py` does."""

from __future__ import annotations

from alembic import context


def run() -> None:
    """Brings the engine that `servicekit.sql` put into the config's attributes to the newest schema."""
    engine = context.config.attributes["engine"]
    with engine.connect().execution_options(triptych_writer=True) as connection:
        context.configure(connection=connection, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
