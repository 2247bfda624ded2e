"""What differs between two texts, line by line."""

from __future__ import annotations

import difflib

from hypothesis import given
from hypothesis import strategies as st

from agent_service import comparing

_LINES = st.lists(st.sampled_from("abcde"), max_size=30)


@given(old=_LINES, new=_LINES)
def test_changes_make_one_text_of_the_other(old: list[str], new: list[str]) -> None:
    made, at = list[str](), 0
    for change in comparing.changes(old, new):
        made += [*old[at : change.start], *new[change.new_start : change.new_end]]
        at = change.end
    assert [*made, *old[at:]] == new


@given(kept=st.lists(st.integers(0, 2), max_size=40))
def test_a_diff_is_as_difflib_has_it(kept: list[int]) -> None:
    """Each line is kept, changed or taken out: lines that differ, so that there is one diff."""
    old = [f"line {number}" for number in range(len(kept))]
    new = [f"{line}!" if how == 1 else line for line, how in zip(old, kept, strict=True) if how != 2]
    wanted = "\n".join(difflib.unified_diff(old, new, "one", "two", lineterm=""))
    assert comparing.unified(old, new, "one", "two") == wanted


def test_texts_that_difflib_alone_would_compare_for_minutes_take_a_moment() -> None:
    def woven(mark: str) -> list[str]:
        return [f"{number % 60}" if number % 2 else f"{mark}{number}" for number in range(15_000)]

    assert len(comparing.changes(woven("a"), woven("b"))) == 1
    assert len(comparing.changes(woven("a")[:500], woven("b")[:500])) > 1
