"""Edits of a block's text."""

from __future__ import annotations

from gateway.mcp.arguments import Insert, Replace, Rethink
from triptych.errors import InvalidArgument

Edit = Replace | Insert | Rethink


def edited(value: str, edit: Edit) -> str:
    """The block's new text. Raises: InvalidArgument if the edit does not fit the old one."""
    if isinstance(edit, Rethink):
        return edit.new_memory
    if isinstance(edit, Replace):
        found = value.count(edit.old_string)
        if found != 1:
            raise InvalidArgument.of("old_string", f"must occur exactly once in the block, and occurs {found} times")
        return value.replace(edit.old_string, edit.new_string)
    lines = value.split("\n") if value else []
    if edit.insert_line > len(lines):
        raise InvalidArgument.of("insert_line", f"must be at most {len(lines)}, the number of lines")
    at = len(lines) if edit.insert_line == -1 else edit.insert_line
    return "\n".join([*lines[:at], edit.new_string, *lines[at:]])
