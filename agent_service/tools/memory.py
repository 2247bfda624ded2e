"""Core memory: the tools that edit blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from agent_service.tools.base import Arguments, BlockTool, Edit, Say, ToolError
from triptych.agent.v1.agent_pb2 import Block

_LABEL = "The label of the memory block, as it stands in <memory_blocks>."
_LINE_NUMBER = re.compile(r"^\s*\d+\s*[→|:\t]", re.MULTILINE)


class Insert(Arguments):
    label: str = Field(description=_LABEL)
    new_string: str = Field(description="The text to insert. It becomes one or more lines of its own.")
    insert_line: int = Field(
        default=-1, description="Insert after this line: 0 is the top of the block, -1 (the default) its end."
    )


class Replace(Arguments):
    label: str = Field(description=_LABEL)
    old_string: str = Field(description="The text to replace, exactly as it stands in the block. Must occur once.")
    new_string: str = Field(description="The text to put in its place. An empty string deletes.")


class Rethink(Arguments):
    label: str = Field(description=_LABEL)
    new_memory: str = Field(description="The whole new value of the block.")


class Append(Arguments):
    label: str = Field(description=_LABEL)
    content: str = Field(description="The text to add, as a new line at the end of the block.")


class CoreReplace(Arguments):
    label: str = Field(description=_LABEL)
    old_content: str = Field(description="The text to replace, exactly as it stands in the block.")
    new_content: str = Field(description="The text to put in its place. An empty string deletes.")


def insert(blocks: Sequence[Block], args: Insert) -> Edit:
    """Inserts lines. Line 0 is the top, -1 the end. Raises: ToolError for a line that is not there."""
    block = find(blocks, args.label)
    lines = block.value.split("\n") if block.value else []
    at = len(lines) if args.insert_line == -1 else args.insert_line
    if not 0 <= at <= len(lines):
        raise ToolError(f"insert_line must be -1 or 0 to {len(lines)}: block {args.label} has {len(lines)} lines.")
    return Edit(args.label, "\n".join([*lines[:at], args.new_string, *lines[at:]]))


def replace(blocks: Sequence[Block], args: Replace) -> Edit:
    """Replaces a text that occurs exactly once. Raises: ToolError otherwise."""
    block = find(blocks, args.label)
    if _LINE_NUMBER.match(args.old_string) and args.old_string not in block.value:
        raise ToolError("old_string begins with a line number. Give the block's text alone.")
    if not args.old_string:
        raise ToolError("old_string must not be empty. To add text, use memory_insert.")
    occurrences = block.value.count(args.old_string)
    if occurrences == 0:
        raise ToolError(f"old_string was not found in block {args.label}. It must match the block's text exactly.")
    if occurrences > 1:
        raise ToolError(
            f"old_string occurs {occurrences} times in block {args.label}. Give more of the text around it."
        )
    return Edit(args.label, block.value.replace(args.old_string, args.new_string))


def rethink(_blocks: Sequence[Block], args: Rethink) -> Edit:
    """Rewrites a whole block, and makes it if there is none."""
    return Edit(args.label, args.new_memory, create=True)


def append(blocks: Sequence[Block], args: Append) -> Edit:
    block = find(blocks, args.label)
    return Edit(args.label, f"{block.value}\n{args.content}" if block.value else args.content)


def core_replace(blocks: Sequence[Block], args: CoreReplace) -> Edit:
    """Replaces every exact match. Raises: ToolError if there is none, or if the block would be over its limit."""
    block = find(blocks, args.label)
    if not args.old_content or args.old_content not in block.value:
        raise ToolError(f"old_content was not found in block {args.label}. It must match the block's text exactly.")
    # Counted before it is made: many matches times a long text is more than fits into memory.
    growth = block.value.count(args.old_content) * (len(args.new_content) - len(args.old_content))
    if 0 < block.limit < len(block.value) + growth:
        raise ToolError(
            f"block {args.label} would have {len(block.value) + growth:,} characters, and may hold {block.limit:,}."
        )
    return Edit(args.label, block.value.replace(args.old_content, args.new_content))


class Finish(Arguments):
    pass


def finish(_blocks: Sequence[Block], _args: Finish) -> Say:
    """Changes nothing: calling it is how an agent says that it is done, which ends its turn."""
    return Say("Done.")


def find(blocks: Sequence[Block], label: str) -> Block:
    """Raises: ToolError naming the blocks there are."""
    for block in blocks:
        if block.label == label:
            return block
    there_are = ", ".join(block.label for block in blocks) or "none"
    raise ToolError(f"There is no memory block labelled {label}. There are: {there_are}.")


TOOLS = (
    BlockTool(
        "memory_insert",
        "Adds lines to a memory block. Use it as soon as you learn something about the user, or about your task, that "
        "will matter in later conversations. Write whole sentences that make sense on their own; date what can change.",
        Insert,
        insert,
    ),
    BlockTool(
        "memory_replace",
        "Replaces a text in a memory block. Use it when a fact has changed or was wrong, rather than adding a second "
        "fact that contradicts the first.",
        Replace,
        replace,
    ),
    BlockTool(
        "memory_rethink",
        "Rewrites a whole memory block, or makes a new one. Use it to tidy up a block that is long or in disorder; "
        "keep every fact that still holds.",
        Rethink,
        rethink,
    ),
    BlockTool(
        "core_memory_append",
        "Adds a line at the end of a memory block. Use it when you learn something that will matter again.",
        Append,
        append,
    ),
    BlockTool(
        "core_memory_replace",
        "Replaces every occurrence of a text in a memory block. Use it when a fact has changed or was wrong.",
        CoreReplace,
        core_replace,
    ),
    BlockTool(
        "memory_finish_edits", "Ends your work on the memory. Call it when nothing is left to edit.", Finish, finish
    ),
    BlockTool("finish_rethinking_memory", "Ends your work on the memory, once it is as it should be.", Finish, finish),
)
