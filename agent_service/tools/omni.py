"""The tool `memory`: one tool over all blocks, which it names as files `/memories/LABEL`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from agent_service.tools import memory
from agent_service.tools.base import Arguments, BlockTool, Change, Detach, Edit, Relabel, Say, ToolError
from triptych.agent.v1.agent_pb2 import Block

_ROOT = "/memories/"
Command = Literal["create", "str_replace", "insert", "delete", "rename", "view"]


class Memory(Arguments):
    command: Command = Field(description="What to do.")
    path: str | None = Field(default=None, description="The block: /memories/LABEL. Not for rename.")
    file_text: str | None = Field(default=None, description="create: the block's text.")
    description: str | None = Field(
        default=None, description="create: what the block is for. rename with path: its new description."
    )
    old_string: str | None = Field(default=None, description="str_replace: the text to replace. Must occur once.")
    new_string: str | None = Field(default=None, description="str_replace: what to put in its place; empty deletes.")
    insert_line: int | None = Field(default=None, description="insert: after this line; 0 is the top, -1 the end.")
    insert_text: str | None = Field(default=None, description="insert: the lines to insert.")
    old_path: str | None = Field(default=None, description="rename: /memories/LABEL as it is now.")
    new_path: str | None = Field(default=None, description="rename: /memories/LABEL as it shall be.")


def run(blocks: Sequence[Block], args: Memory) -> Change:
    """Raises: ToolError for what the command lacks, and for a block that is not there, or there already."""
    return _COMMANDS[args.command](blocks, args)


def label_of(path: str | None, field: str) -> str:
    """The label that a path names; the label alone will do. Raises: ToolError."""
    if not path:
        raise ToolError(f"{field} is missing. Give the block as {_ROOT}LABEL.")
    label = path.removeprefix(_ROOT.rstrip("/")).strip("/") if path.startswith("/") else path
    if not label or (path.startswith("/") and not path.startswith(_ROOT)):
        raise ToolError(f"{field} must be {_ROOT}LABEL, with the label of a block.")
    return label


def _create(blocks: Sequence[Block], args: Memory) -> Change:
    label = label_of(args.path, "path")
    if any(block.label == label for block in blocks):
        raise ToolError(f"There is a block {label} already. Change it with str_replace or insert.")
    return Edit(label, args.file_text or "", create=True, description=args.description or "")


def _str_replace(blocks: Sequence[Block], args: Memory) -> Change:
    label = label_of(args.path, "path")
    replacing = memory.Replace(label=label, old_string=args.old_string or "", new_string=args.new_string or "")
    return memory.replace(blocks, replacing)


def _insert(blocks: Sequence[Block], args: Memory) -> Change:
    label = label_of(args.path, "path")
    if args.insert_text is None:
        raise ToolError("insert_text is missing.")
    line = -1 if args.insert_line is None else args.insert_line
    return memory.insert(blocks, memory.Insert(label=label, new_string=args.insert_text, insert_line=line))


def _delete(blocks: Sequence[Block], args: Memory) -> Change:
    return Detach(memory.find(blocks, label_of(args.path, "path")).label)


def _rename(blocks: Sequence[Block], args: Memory) -> Change:
    """By old_path and new_path; by path and description it describes the block anew."""
    if args.path and args.description is not None:
        return Relabel(memory.find(blocks, label_of(args.path, "path")).label, description=args.description)
    old, new = label_of(args.old_path, "old_path"), label_of(args.new_path, "new_path")
    return Relabel(memory.find(blocks, old).label, new_label=new)


def _view(blocks: Sequence[Block], args: Memory) -> Change:
    """One block with line numbers; without a path, the list of all."""
    if not args.path or args.path.rstrip("/") == _ROOT.rstrip("/"):
        listed = [f"{_ROOT}{block.label} ({len(block.value)}/{block.limit} characters)" for block in blocks]
        return Say("\n".join(listed) or "There are no memory blocks.")
    value = memory.find(blocks, label_of(args.path, "path")).value
    return Say("\n".join(f"{number}\t{line}" for number, line in enumerate(value.split("\n"), start=1)))


_COMMANDS: dict[Command, Callable[[Sequence[Block], Memory], Change]] = {
    "create": _create,
    "str_replace": _str_replace,
    "insert": _insert,
    "delete": _delete,
    "rename": _rename,
    "view": _view,
}

TOOLS = (
    BlockTool(
        "memory",
        "Views and edits your memory blocks, each of which is a file /memories/LABEL. Commands: view (path; without "
        "one, lists all), create (path, file_text, description), str_replace (path, old_string, new_string), insert "
        "(path, insert_line, insert_text), delete (path), rename (old_path, new_path). Save what will matter in later "
        "conversations as soon as you learn it; correct what has changed where it stands.",
        Memory,
        run,
    ),
)
