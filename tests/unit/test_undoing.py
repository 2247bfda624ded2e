"""Taking one edit out of a text that was edited since."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent_service.stores.undoing import without

_LINES = st.lists(st.sampled_from("abcde"), max_size=8).map("\n".join)


@given(before=_LINES, edited=_LINES)
def test_an_edit_that_nothing_came_after_is_taken_back_whole(before: str, edited: str) -> None:
    assert without(before, edited, edited) == (before if before != edited else edited)


@given(before=_LINES, edited=_LINES, tail=_LINES)
def test_a_later_edit_at_another_place_stays(before: str, edited: str, tail: str) -> None:
    between = "\nfixed one\nfixed two\n"
    undone = without(before + between, edited + between, edited + between + tail)
    assert undone == before + between + tail


def test_texts_too_long_to_compare_line_by_line_are_taken_back_as_one() -> None:
    blank = "\n" * 300_000
    before, edited = f"a{blank}b", f"{blank}c{blank}"
    assert without(before, edited, edited) == before
    assert without(f"top\n\n{before}", f"top\n\n{edited}", f"new\n\n{edited}") == f"new\n\n{before}"


def test_a_later_edit_of_the_same_lines_is_in_the_way() -> None:
    assert without("a\nb", "a\nB", "a\nBB") is None
