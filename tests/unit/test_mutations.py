"""The table of what is taken out to see that the crash tests notice."""

from __future__ import annotations

from pathlib import Path

from agent_service import failpoints
from tests.crash.mutations import MUTATIONS

ROOT = Path(__file__).parents[2]


def test_every_place_at_which_a_turn_can_die_has_its_mutation_and_its_promise() -> None:
    tried = {place.rpartition(":n=")[0] for mutation in MUTATIONS for place in mutation.places}
    assert tried == set(failpoints.NAMES)
    page = (ROOT / "docs" / "promises.md").read_text()
    assert [name for name in failpoints.NAMES if f"`{name}`" not in page] == []


def test_every_mutation_names_tests_that_are_there() -> None:
    for mutation in MUTATIONS:
        assert mutation.fails
        for test in mutation.fails:
            file, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()


def test_every_mutation_still_finds_what_it_takes_out() -> None:
    gone = [
        (mutation.without, change.old)
        for mutation in MUTATIONS
        for change in mutation.changes
        if (ROOT / change.file).read_text().count(change.old) != 1
    ]
    assert gone == []
