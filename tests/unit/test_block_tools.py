"""The tools `memory` and `memory_apply_patch`, as pure functions of an agent's blocks."""

from __future__ import annotations

import difflib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.tools import base, omni, patching, registry
from agent_service.tools.base import Change, Detach, Edit, Relabel, Say, ToolError
from triptych.agent.v1.agent_pb2 import Block

BLOCKS = [Block(label="human", value="one\ntwo\nthree", limit=100), Block(label="twice", value="a\nb\na\nb")]


def run(name: str, **arguments: Any) -> Change:
    tool = registry.TOOLS[name]
    assert isinstance(tool, base.BlockTool)
    change: Change = tool.edit(BLOCKS, base.parse(tool, json.dumps(arguments)))
    return change


def test_each_command_of_the_omni_tool_does_what_it_says() -> None:
    human = "/memories/human"
    assert run("memory", command="create", path="/memories/new", file_text="x", description="d") == Edit(
        "new", "x", create=True, description="d"
    )
    assert run("memory", command="str_replace", path=human, old_string="two", new_string="2") == Edit(
        "human", "one\n2\nthree"
    )
    assert run("memory", command="insert", path=human, insert_line=0, insert_text="zero") == Edit(
        "human", "zero\none\ntwo\nthree"
    )
    assert run("memory", command="delete", path=human) == Detach("human")
    assert run("memory", command="rename", old_path=human, new_path="/memories/user") == Relabel("human", "user")
    assert run("memory", command="rename", path=human, description="d") == Relabel("human", description="d")
    assert run("memory", command="view", path=human) == Say("1\tone\n2\ttwo\n3\tthree")
    listed = run("memory", command="view")
    assert isinstance(listed, Say)
    assert "/memories/human (13/100 characters)" in listed.text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"command": "fly"}, "command"),
        ({"command": "create", "path": "/memories/human"}, "already"),
        ({"command": "create"}, "path is missing"),
        ({"command": "view", "path": "/etc/passwd"}, "/memories/LABEL"),
        ({"command": "delete", "path": "/memories/nope"}, "no memory block"),
        ({"command": "rename", "old_path": "/memories/nope", "new_path": "/memories/x"}, "no memory block"),
        ({"command": "insert", "path": "/memories/human"}, "insert_text"),
        ({"command": "insert", "path": "/memories/human", "insert_line": 9, "insert_text": "x"}, "0 to 3"),
        ({"command": "str_replace", "path": "/memories/human", "old_string": "zzz"}, "not found"),
    ],
)
def test_what_the_omni_tool_was_asked_wrongly_is_said(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ToolError, match=problem):
        run("memory", **arguments)


def test_a_label_may_be_given_without_its_folder() -> None:
    assert omni.label_of("human", "path") == omni.label_of("/memories/human", "path") == "human"


@pytest.mark.parametrize(
    ("patch", "value"),
    [
        ("@@ -1,3 +1,3 @@\n one\n-two\n+2\n three", "one\n2\nthree"),
        ("--- a/human\n+++ b/human\n@@ -90,2 +90,1 @@\n one\n-two", "one\nthree"),
        ("@@\n-one\n+1\n@@\n-three\n+3", "1\ntwo\n3"),
        ("@@ -0,0 +1 @@\n+zero", "zero\none\ntwo\nthree"),
        ("@@\n+four", "one\ntwo\nthree\nfour"),
    ],
)
def test_a_patch_goes_where_its_lines_stand_whatever_its_numbers(patch: str, value: str) -> None:
    assert run("memory_apply_patch", label="human", patch=patch) == Edit("human", value)


@pytest.mark.parametrize(
    ("label", "patch", "problem"),
    [
        ("human", "-two\n+2", "hunk header"),
        ("human", "", "hunk header"),
        ("human", "@@ -1 +1 @@", "no hunks"),
        ("human", "@@\n-zzz\n+2", "Hunk 1"),
        ("human", "@@\nno sign", "space, - or +"),
        ("human", f"@@ -{'9' * 5_000} +1 @@\n-one\n+1", "hunk header"),
        ("twice", "@@\n-a\n+1", "occur 2 times"),
        ("nope", "@@\n-a\n+1", "no memory block"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_with_the_reason(label: str, patch: str, problem: str) -> None:
    with pytest.raises(ToolError, match=problem):
        run("memory_apply_patch", label=label, patch=patch)


def test_a_patch_that_would_take_too_long_is_refused() -> None:
    block = Block(label="human", value="\n" * 200_000)
    for patch in ("@@\n-\n" * 200_000, "@@\n" + "-\n" * 100_000):
        with pytest.raises(ToolError, match="too long"):
            patching.apply_patch([block], patching.ApplyPatch(label="human", patch=patch))


def test_the_numbers_choose_between_equal_places() -> None:
    assert run("memory_apply_patch", label="twice", patch="@@ -3 +3 @@\n-a\n+1") == Edit("twice", "a\nb\n1\nb")


_TEXT = st.lists(st.sampled_from(["", "a", "b", "-c", "+d", " e", "@@"]), min_size=1, max_size=12)


@given(old=_TEXT, new=_TEXT)
def test_a_real_diff_always_gives_the_new_text(old: list[str], new: list[str]) -> None:
    if old == new:
        return
    patch = "\n".join(difflib.unified_diff(old, new, lineterm=""))
    block = Block(label="x", value="\n".join(old))
    if not block.value:
        return
    edit = patching.apply_patch([block], patching.ApplyPatch(label="x", patch=patch))
    assert edit.value == "\n".join(new)
