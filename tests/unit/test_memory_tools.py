from __future__ import annotations

import pytest

from agent_service.tools import base, dates, memory, registry
from agent_service.tools.base import ToolError
from triptych.agent.v1.agent_pb2 import Block

BLOCKS = [Block(label="human", value="one\ntwo\nthree"), Block(label="empty")]


def edited(name: str, arguments: str) -> str:
    tool = registry.TOOLS[name]
    assert isinstance(tool, base.BlockTool)
    edit = tool.edit(BLOCKS, base.parse(tool, arguments))
    assert isinstance(edit, base.Edit)
    return edit.value


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("memory_insert", '{"label": "human", "new_string": "x"}', "one\ntwo\nthree\nx"),
        ("memory_insert", '{"label": "human", "new_string": "x", "insert_line": 0}', "x\none\ntwo\nthree"),
        ("memory_insert", '{"label": "human", "new_string": "x", "insert_line": 2}', "one\ntwo\nx\nthree"),
        ("memory_insert", '{"label": "empty", "new_string": "x", "request_heartbeat": true}', "x"),
        ("memory_replace", '{"label": "human", "old_string": "two", "new_string": "2"}', "one\n2\nthree"),
        ("memory_replace", '{"label": "human", "old_string": "two\\n", "new_string": ""}', "one\nthree"),
        ("memory_rethink", '{"label": "new", "new_memory": "all new"}', "all new"),
        ("core_memory_append", '{"label": "human", "content": "x"}', "one\ntwo\nthree\nx"),
        ("core_memory_replace", '{"label": "human", "old_content": "o", "new_content": "0"}', "0ne\ntw0\nthree"),
    ],
)
def test_an_edit_does_what_its_tool_says(name: str, arguments: str, value: str) -> None:
    assert edited(name, arguments) == value


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("memory_insert", '{"label": "human", "new_string": "x", "insert_line": 4}', "0 to 3"),
        ("memory_insert", '{"label": "human", "new_string": "x", "insert_line": -2}', "0 to 3"),
        ("memory_insert", '{"label": "human"}', "new_string"),
        ("memory_insert", '{"label": "human", "new_string": 5}', "new_string"),
        ("memory_insert", "[]", "one JSON object"),
        ("memory_insert", "{", "not valid JSON"),
        ("memory_insert", "[" * 100_000, "not valid JSON"),
        ("memory_replace", '{"label": "human", "old_string": "e", "new_string": ""}', "occurs 3 times"),
        ("memory_replace", '{"label": "human", "old_string": "", "new_string": "x"}', "must not be empty"),
        ("memory_replace", '{"label": "human", "old_string": "2: two", "new_string": "x"}', "line number"),
        ("core_memory_append", '{"label": "nope", "content": "x"}', "There are: human, empty"),
        ("core_memory_replace", '{"label": "human", "old_content": "zzz", "new_content": "x"}', "not found"),
    ],
)
def test_what_the_model_got_wrong_is_a_tool_error_that_says_what(name: str, arguments: str, problem: str) -> None:
    with pytest.raises(ToolError, match=problem):
        edited(name, arguments)


@pytest.mark.parametrize(
    ("text", "end", "moment"),
    [
        ("2026-01-31", False, "2026-01-31T00:00:00Z"),
        ("2026-01-31", True, "2026-01-31T23:59:59.999999Z"),
        ("20260131", True, "2026-01-31T23:59:59.999999Z"),
        ("2026-01-31T18:00", True, "2026-01-31T18:00:00Z"),
        ("2026-01-31T18:00:00+02:00", False, "2026-01-31T16:00:00Z"),
        ("9999-12-31", True, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_date_is_read_and_one_without_a_time_is_the_whole_day(text: str, end: bool, moment: str) -> None:
    stamp = dates.parse("start_date", text, end=end)
    assert stamp is not None
    assert stamp.ToJsonString() == moment


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_what_is_no_date_is_a_tool_error(text: str) -> None:
    with pytest.raises(ToolError, match="start_date must be an ISO 8601 date"):
        dates.parse("start_date", text)


def test_schemas_are_what_a_model_needs_and_nothing_else() -> None:
    for schema in registry.SCHEMAS.values():
        assert "title" not in schema.parameters
        assert schema.parameters["type"] == "object"
        for name, parameter in schema.parameters["properties"].items():
            assert parameter.get("description"), f"{schema.name}.{name} is not described"


def test_a_replacement_of_many_by_much_is_refused_before_it_is_made() -> None:
    full = Block(label="full", value="a" * 100_000, limit=100_000)
    with pytest.raises(ToolError, match="would have 100,000,000,000 characters, and may hold 100,000"):
        memory.core_replace([full], memory.CoreReplace(label="full", old_content="a", new_content="b" * 1_000_000))


def test_rethink_alone_may_make_a_block() -> None:
    assert memory.rethink(BLOCKS, memory.Rethink(label="new", new_memory="x")).create
