"""`triptych archival` as a user runs it, against a whole system."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import documents
from tests.support.up import Up, run, up
from triptych import Triptych

NO_MODEL = ("--model-base-url", "http://127.0.0.1:9/v1", "--model", "none")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up"), *NO_MODEL) as running:
        yield running


@pytest.fixture
def user(system: Up, request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a user that no other test has."""
    key = system.new_user(request.node.name)
    return {"TRIPTYCH_ADDRESS": system.ready["grpc_address"], "TRIPTYCH_API_KEY": key}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A directory of files, two of which can't be read."""
    shelf = tmp_path / "shelf"
    (shelf / "deep").mkdir(parents=True)
    (shelf / "boats.md").write_text("# Boats\n\nAnna has a wooden boat.")
    (shelf / "deep" / "book.pdf").write_bytes(documents.pdf("Peter is a plumber."))
    (shelf / "deep" / "note [1].txt").write_bytes("Früh fährt die Fähre nach Århus.".encode("latin-1"))
    (shelf / ".hidden.txt").write_text("hidden")
    (shelf / "empty.txt").touch()
    (shelf / "scan.pdf").write_bytes(documents.pdf(""))
    return shelf


def test_files_go_in_and_those_that_can_not_are_listed(user: dict[str, str], shelf: Path) -> None:
    done = run("archival", "add", str(shelf), str(shelf / "none.txt"), "--tags", "home, work", environ=user)
    assert done.returncode == 1
    assert done.stdout.startswith("3 added (3 passages), 0 there already, 3 failed; archive archive-")
    for line in (
        "none.txt: no such file",
        "shelf/empty.txt: it is empty",
        "shelf/scan.pdf: no text found in it: it may",
    ):
        assert line in done.stderr
    assert "Traceback" not in done.stderr

    again = run("archival", "add", str(shelf / "boats.md"), str(shelf / "deep"), environ=user)
    assert again.returncode == 0
    assert again.stdout.startswith("0 added (0 passages), 3 there already, 0 failed")

    listed = run("archival", "documents", "--archive", "documents", environ=user).stdout.splitlines()
    assert [line.split("  ")[-1] for line in listed] == [
        "shelf/boats.md",
        "shelf/deep/book.pdf",
        "shelf/deep/note [1].txt",
    ]
    assert "3 passages  documents" in run("archival", "archives", environ=user).stdout
    found = run("archival", "search", "who mends pipes, Peter?", "--limit", "1", environ=user).stdout
    assert "shelf/deep/book.pdf, page 1 [0–19]" in found
    assert "Peter is a plumber." in found
    found = run("archival", "search", "Fähre", "--file", "shelf/deep/note [1].txt", environ=user).stdout
    assert "Früh fährt die Fähre nach Århus." in found

    document_id = listed[0].split()[0]
    assert run("archival", "remove", document_id, environ=user).returncode == 0
    assert len(run("archival", "documents", environ=user).stdout.splitlines()) == 2


def test_two_files_that_would_have_one_name_are_told_apart_by_the_user(user: dict[str, str], tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "README.md").write_text(folder)
    done = run("archival", "add", *(str(tmp_path / folder / "README.md") for folder in "ab"), environ=user)
    assert done.returncode == 1
    assert "would have the name of" in done.stderr
    assert run("archival", "add", str(tmp_path / "a"), str(tmp_path / "b"), environ=user).returncode == 0


def test_what_is_exported_is_imported_once_into_any_place(
    system: Up, user: dict[str, str], shelf: Path, tmp_path: Path
) -> None:
    run("archival", "add", str(shelf), "--archive", "home", environ=user)
    file = tmp_path / "all.jsonl.gz"
    assert run("archival", "export", str(file), environ=user).stdout.startswith("3 passages in ")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        everything = [json.loads(line) for line in lines]
    exported, listed = everything[:3], everything[3:]
    assert {each["document"]["fileName"] for each in listed} == {each["source"]["fileName"] for each in exported}
    assert [each["source"]["fileName"] for each in exported] == [
        "shelf/boats.md",
        "shelf/deep/book.pdf",
        "shelf/deep/note [1].txt",
    ]
    assert {each["archive"] for each in exported} == {"home"}

    assert run("archival", "import", str(file), environ=user).stdout == "0 passages inserted, 3 there already\n"
    for expected in ("3 passages inserted, 0 there already\n", "0 passages inserted, 3 there already\n"):
        assert run("archival", "import", str(file), "--archive", "copy", environ=user).stdout == expected

    other = {**user, "TRIPTYCH_API_KEY": system.new_user("other")}
    # A cut import: one of the passages is there already when it is run again.
    (tmp_path / "first.jsonl").write_text(json.dumps(exported[0]) + "\n")
    run("archival", "import", str(tmp_path / "first.jsonl"), environ=other)
    assert run("archival", "import", str(file), environ=other).stdout == "2 passages inserted, 1 there already\n"
    with Triptych(user["TRIPTYCH_ADDRESS"], other["TRIPTYCH_API_KEY"]) as theirs:
        (archive,) = theirs.archives.list()
        assert archive.name == "home"
        stored = {each.id: each for each in theirs.archives.passages()}
        documents = list(theirs.documents.list())
    with Triptych(user["TRIPTYCH_ADDRESS"], user["TRIPTYCH_API_KEY"]) as mine:
        for passage in mine.archives.passages([archive.id]):
            assert stored[passage.id] == passage
        assert documents == list(mine.documents.list([archive.id]))


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"hello\n", "line 1 is no passage"), (b'{"id": "x"}\n', "needs id and archiveId"), (b"\xff\xfe", "damaged")],
)
def test_what_is_no_export_is_refused_in_a_line(user: dict[str, str], tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)
    done = run("archival", "import", str(file), environ=user)
    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_an_agent_finds_what_was_added_for_it(user: dict[str, str], shelf: Path) -> None:
    with Triptych(user["TRIPTYCH_ADDRESS"], user["TRIPTYCH_API_KEY"]) as client:
        agent = client.agents.create("ann", blocks={"human": "Name: Ann."})
        assert run("archival", "add", str(shelf / "boats.md"), "--agent", agent.id, environ=user).returncode == 0
        (hit,) = client.archival.search(agent, "boat")
        assert hit.passage.source.file_name == "boats.md"
        assert run("archival", "add", "x", "--agent", agent.id, "--archive", "y", environ=user).returncode == 1
