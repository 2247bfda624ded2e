"""`python -m recall_service`: what it says and how it ends."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest

from tests.support.processes import Service, run
from tests.support.recall import environment


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path)


def test_help_says_how() -> None:
    done = run("recall_service", "--help", environ={})
    assert done.returncode == 0
    assert "migrate" in done.stdout


def test_migrate_makes_the_schema_and_needs_nothing_else(environ: dict[str, str], tmp_path: Path) -> None:
    done = run("recall_service", "migrate", environ={"TRIPTYCH_RECALL_DSN": environ["TRIPTYCH_RECALL_DSN"]})
    assert (done.returncode, done.stdout) == (0, "")
    with sqlite3.connect(tmp_path / "recall.db") as database:
        assert database.execute("SELECT count(*) FROM messages").fetchone() == (0,)


def test_it_stops_cleanly_when_asked_to(environ: dict[str, str]) -> None:
    assert Service("recall_service", environ).stop() == 0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TRIPTYCH_RECAL_DSN", "x", "Did you mean TRIPTYCH_RECALL_DSN"),
        ("TRIPTYCH_GATEWAY_VERIFY_KEY_FILE", "", "TRIPTYCH_GATEWAY_VERIFY_KEY_FILE is not set"),
        ("TRIPTYCH_AGENT_VERIFY_KEY_FILE", __file__, "does not hold an Ed25519 public key"),
        ("TRIPTYCH_RECALL_DSN", "mysql://x/y", "no backend for mysql"),
        ("TRIPTYCH_RECALL_DSN", "nonsense", "not a SQLAlchemy URL"),
        ("TRIPTYCH_RECALL_DSN", "sqlite:////proc/none/recall.db", "can't be opened"),
        ("TRIPTYCH_EMBEDDER", "magic", "bundled or openai"),
        ("TRIPTYCH_LOG_LEVEL", "loud", "TRIPTYCH_LOG_LEVEL"),
    ],
)
def test_a_bad_setting_ends_it_with_one_clear_line(environ: dict[str, str], name: str, value: str, says: str) -> None:
    done = run("recall_service", environ={**environ, name: value})
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_database_is_named_and_left_alone(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    done = run("recall_service", environ={**environ, "TRIPTYCH_RECALL_DSN": f"sqlite:///{tmp_path}/notes.txt"})
    assert done.returncode == 2
    assert f"{tmp_path}/notes.txt can't be opened" in done.stderr
    assert (tmp_path / "notes.txt").read_text() == "not a database " * 100


def test_a_port_in_use_is_named(environ: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("recall_service", environ={**environ, "TRIPTYCH_RECALL_LISTEN": listen})
    assert done.returncode == 2
    assert listen in done.stderr


def test_a_second_process_on_the_same_store_is_refused(environ: dict[str, str]) -> None:
    first = Service("recall_service", environ)
    try:
        done = run("recall_service", environ=environ)
    finally:
        first.stop()
    assert done.returncode == 2
    assert "in use by another process" in done.stderr
