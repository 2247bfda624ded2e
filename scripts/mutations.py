"""Takes out what keeps each promise, one at a time, in a copy of the repository, and sees that a test then fails.

python scripts/mutations.py [WORD]    only those whose description, places or tests have that word
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.crash.mutations import MUTATIONS, Change, Mutation  # noqa: E402

# A test that fails waits for what does not come: no longer than this.
_ENVIRONMENT = {"TRIPTYCH_TEST_SECONDS": "15"}
_OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR) (\S+)", re.MULTILINE)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of what git tracks, and of what it would."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    with tempfile.TemporaryDirectory(prefix="triptych-mutations-") as folder:
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        yield Path(folder)


@contextmanager
def changed(folder: Path, changes: Sequence[Change]) -> Iterator[None]:
    before = {change.file: (folder / change.file).read_text() for change in changes}
    try:
        for change in changes:
            path = folder / change.file
            path.write_text(replaced(path.read_text(), change))
        yield
    finally:
        for name, text in before.items():
            (folder / name).write_text(text)


def replaced(text: str, change: Change) -> str:
    """Raises: ValueError unless the old text occurs exactly once."""
    if text.count(change.old) != 1:
        raise ValueError(f"{change.file} does not have this once: {change.old!r}")
    return text.replace(change.old, change.new)


def outcomes(folder: Path, tests: Sequence[str]) -> dict[str, str]:
    """PASSED, FAILED or ERROR by test."""
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", *tests]
    ran = subprocess.run(
        command, cwd=folder, env={**os.environ, **_ENVIRONMENT}, capture_output=True, text=True, check=False
    )
    return {name: outcome for outcome, name in _OUTCOME.findall(ran.stdout)}


def tried(folder: Path, mutation: Mutation) -> bool:
    """Prints a row for each test that has to fail; whether all is as it must be."""
    tests = [*mutation.fails, *filter(None, [mutation.control])]
    with changed(folder, mutation.changes):
        found = outcomes(folder, tests)
    control = found.get(mutation.control, "MISSING").lower() if mutation.control else "-"
    noticed = {test: found.get(test, "MISSING") for test in mutation.fails}
    for test, outcome in noticed.items():
        name = test.rpartition("/")[2]
        print(f"| {mutation.without} | `{name}` | {outcome.lower()} | {control} |", flush=True)
    return control in ("passed", "-") and set(noticed.values()) == {"FAILED"}


def main() -> int:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [each for each in MUTATIONS if any(word in text for text in (each.without, *each.fails))]
    print("| taken out | test | it | with nobody killed |\n|---|---|---|---|")
    with copied() as folder:
        wrong = [each.without for each in chosen if not tried(folder, each)]
    for each in wrong:
        print(f"NOT NOTICED, or more than that is broken: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
