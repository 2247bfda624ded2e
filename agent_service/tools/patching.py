"""The tool `memory_apply_patch`: a unified diff against one block.

Models count lines badly, so a hunk goes where its old lines stand, and the numbers in its header only choose between
several such places. That is why no general library is used: those go by the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import Field

from agent_service.tools import memory
from agent_service.tools.base import Arguments, BlockTool, Edit, ToolError
from triptych.agent.v1.agent_pb2 import Block

_HEADER = re.compile(r"^@@(?: -(?P<line>[0-9]{1,9})(?:,[0-9]+)? \+[0-9]+(?:,[0-9]+)?)?(?: @@.*)?$")
# Lines that tell of files, which a block is not.
_OF_FILES = ("--- ", "+++ ", "diff --git ", "index ", "*** ", "\\ No newline")
# A patch is applied within a transaction. The block's lines times the patch's.
_MOST_HUNKS, _MOST_COMPARED = 1_000, 10_000_000


class ApplyPatch(Arguments):
    label: str = Field(description="The label of the memory block, as it stands in <memory_blocks>.")
    patch: str = Field(
        description="A unified diff of the block's text: hunks that begin with @@, lines that begin with a space "
        "(kept), - (removed) or + (added)."
    )


@dataclass
class Hunk:
    """`line`: where it begins by its header, counted from 1; None if the header does not say."""

    line: int | None
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


def apply_patch(blocks: Sequence[Block], args: ApplyPatch) -> Edit:
    """Raises: ToolError for what is no diff, and for a hunk whose old lines are not there, or not in one place."""
    block = memory.find(blocks, args.label)
    lines = block.value.split("\n") if block.value else []
    moved, hunks = 0, parse(args.patch)
    if len(lines) * sum(len(hunk.old) for hunk in hunks) > _MOST_COMPARED:
        raise ToolError("The patch is too long for a block of that many lines. Use memory_replace or memory_rethink.")
    for number, hunk in enumerate(hunks, start=1):
        at = _place(lines, hunk, moved, number)
        lines[at : at + len(hunk.old)] = hunk.new
        moved += len(hunk.new) - len(hunk.old)
    return Edit(args.label, "\n".join(lines))


def parse(patch: str) -> list[Hunk]:
    """The hunks of a diff. Raises: ToolError."""
    hunks: list[Hunk] = []
    for line in patch.strip("\n").split("\n"):
        header = _HEADER.match(line)
        if header:
            if len(hunks) == _MOST_HUNKS:
                raise ToolError(f"The patch is too long: at most {_MOST_HUNKS:,} hunks.")
            hunks.append(Hunk(int(header["line"]) if header["line"] else None))
        elif not hunks and not line.startswith(_OF_FILES):
            raise ToolError("The patch must begin with a hunk header such as @@ -1,3 +1,4 @@.")
        elif hunks:
            _add(hunks[-1], line)
    if not hunks or not any(hunk.old or hunk.new for hunk in hunks):
        raise ToolError("The patch has no hunks. Give a unified diff.")
    return hunks


def _add(hunk: Hunk, line: str) -> None:
    kind, text = line[:1], line[1:]
    if line.startswith("\\ No newline"):
        return
    if kind not in ("", " ", "-", "+"):
        raise ToolError("Each line of a hunk must begin with a space, - or +.")
    if kind != "+":
        hunk.old.append(text)
    if kind != "-":
        hunk.new.append(text)


def _place(lines: list[str], hunk: Hunk, moved: int, number: int) -> int:
    """The index at which the hunk's old lines stand. `moved`: by how much the hunks before shifted what follows."""
    size = len(hunk.old)
    if size == 0:
        return len(lines) if hunk.line is None else min(max(0, hunk.line + moved), len(lines))
    places = [at for at in range(len(lines) - size + 1) if lines[at : at + size] == hunk.old]
    if not places:
        raise ToolError(f"Hunk {number}: its kept and removed lines do not stand in the block like that.")
    if len(places) > 1 and hunk.line is None:
        raise ToolError(f"Hunk {number}: its lines occur {len(places)} times. Give more of the lines around them.")
    wanted = (hunk.line or 1) - 1 + moved
    return min(places, key=lambda at: abs(at - wanted))


TOOLS = (
    BlockTool(
        "memory_apply_patch",
        "Changes several places of a memory block at once, by a unified diff. For one place memory_replace is simpler.",
        ApplyPatch,
        apply_patch,
    ),
)
