"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.scripted_model import ScriptedModel

# Settings of whoever runs the tests must not reach what they start.
for _name in [name for name in os.environ if name.startswith(("TRIPTYCH_", "OPENAI_")) and "_TEST_" not in name]:
    del os.environ[_name]


# Where the longest files are. xdist by itself begins with those of many tests, which ends with the two or three that
# start whole systems, or compile a client, while the other processes have nothing left to do.
_FIRST = ("system", "crash", "hostile", "tenancy", "conformance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first (with `--no-loadscope-reorder`, as `make test` has it)."""
    folders = {name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: folders.get(item.path.parent.name, len(folders)))


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel().start()
    yield scripted
    scripted.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres.server() as dsn:
        yield dsn


@pytest.fixture
def postgres_dsn(postgres_server: str) -> Iterator[str]:
    """An empty database on a real PostgreSQL."""
    with postgres.database(postgres_server) as dsn:
        yield dsn


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store on each backend in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'x.db'}"
    return str(request.getfixturevalue("postgres_dsn"))
