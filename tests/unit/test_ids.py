"""Ids."""

from __future__ import annotations

from servicekit import ids


def test_a_derived_id_is_the_same_for_the_same_key_and_no_other() -> None:
    keys: list[tuple[str | int, ...]] = [
        ("a", "b/c", 1),
        ("a/b", "c", 1),
        ("a/b/c", 1),
        ("a~1b", "c", 1),
        ("a", "b/c", 2),
    ]
    assert ids.derived("message", "a", "b/c", 1) == ids.derived("message", "a", "b/c", 1)
    assert len({ids.derived("message", *key) for key in keys}) == len(keys)
    assert ids.derived("message", "a") != ids.derived("step", "a")
    assert ids.valid("message", ids.derived("message", "a"))


def test_a_new_id_is_of_its_kind_alone() -> None:
    assert ids.new("agent") != ids.new("agent")
    assert ids.valid("agent", ids.new("agent"))
    for wrong in ("", "agent-", "agent-1", ids.new("block"), ids.new("agent").upper(), ids.new("agent") + "\n"):
        assert not ids.valid("agent", wrong)
